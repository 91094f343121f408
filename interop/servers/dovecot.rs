//! Dovecot: IMAP, POP3, ManageSieve, LMTP and submission with STARTTLS (POP3: STLS).
//!
//! | service | what it is |
//! |---|---|
//! | `imap` `pop3` `sieve` | log in as [`USER`], after STARTTLS only |
//! | `lmtp` | takes mail for [`USER`], which the others then find in the mailbox |
//! | `submission` | as far as the log-in; there is no server behind it that it could pass mail to |
//!
//! Its master runs as root and gives its parts to the users `dovecot` and `dovenull`; mail belongs to `nobody`.

use std::process::Command;

use super::place::{Place, Running, free_port};
use super::{NAME, PASSWORD, Server, USER, program, text};

pub(crate) const DOVECOT: Server = Server { name: "dovecot", programs: &["dovecot"], needs_root: true, start };

fn start(place: Place) -> Running {
    let services = ["imap", "pop3", "sieve", "submission", "lmtp"].map(|service| (service, free_port()));
    let [run, state, mail] = ["run", "state", "mail"].map(|name| place.folder(name));
    place.must(Command::new("chown").arg("nobody:").arg(&mail));
    let users = place.write("users", &format!("{USER}:{{PLAIN}}{PASSWORD}::::::\n"));
    let listeners: String = services
        .iter()
        .map(|(service, port)| {
            let login = if *service == "sieve" { "managesieve-login" } else { &format!("{service}-login") };
            let part = if *service == "lmtp" { "lmtp" } else { login };
            let implicit = format!("inet_listener {service}s {{\n port = 0\n }}");
            format!("service {part} {{\n inet_listener {service} {{\n address = 127.0.0.1\n port = {port}\n }}\n {implicit}\n}}\n")
        })
        .collect();
    let configuration = place.write("dovecot.conf", &{
        let (run, state, mail, users) = (text(&run), text(&state), text(&mail), text(&users));
        let (certificate, key, log) = (place.certificate(), place.key(), place.log());
        let (certificate, key, log) = (text(&certificate), text(&key), text(&log));
        format!(
            "base_dir = {run}
state_dir = {state}
log_path = {log}
protocols = imap pop3 sieve submission lmtp
hostname = {NAME}
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = yes
auth_mechanisms = plain login
mail_location = maildir:{mail}/%n
mail_uid = nobody
mail_gid = nogroup
submission_relay_host = 127.0.0.1
passdb {{
 driver = passwd-file
 args = username_format=%n {users}
}}
userdb {{
 driver = static
 args = uid=nobody gid=nogroup home={mail}/%n allow_all_users=yes
}}
{listeners}"
        )
    });
    let mut dovecot = Command::new(program("dovecot"));
    dovecot.arg("-F").arg("-c").arg(configuration);
    services.iter().fold(place.launch(&dovecot), |running, (service, port)| {
        let greeting = match *service {
            "imap" => "* OK",
            "pop3" => "+OK",
            "sieve" => "OK ",
            _ => "220 ",
        };
        running.ready(service, *port, b"", greeting)
    })
}
