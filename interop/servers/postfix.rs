//! Postfix: SMTP with STARTTLS.
//!
//! | service | what it is |
//! |---|---|
//! | `smtp` | smtpd, offers STARTTLS, takes mail for [`USER`] at [`NAME`] without asking who brings it |
//!
//! Its master runs as root and gives its parts to the users `postfix` and `nobody`. What arrives lies in [`mailbox`],
//! in the format mbox.

use std::path::PathBuf;
use std::process::Command;

use super::place::{Place, Running, free_port};
use super::{NAME, Server, USER, program, text};

pub(crate) const POSTFIX: Server = Server { name: "postfix", programs: &["postfix"], needs_root: true, start };

/// Where a letter for [`USER`] arrives.
pub(crate) fn mailbox(postfix: &Running) -> PathBuf {
    postfix.place().path("mail").join(USER)
}

fn start(place: Place) -> Running {
    let smtp = free_port();
    let configuration = place.folder("etc");
    let [queue, data, mail] = ["queue", "data", "mail"].map(|name| place.folder(name));
    place.must(Command::new("chown").arg("postfix:").arg(&data));
    place.must(Command::new("chown").arg("nobody:").arg(&mail));
    place.write("etc/main.cf", &{
        let (queue, data, mail, log) = (text(&queue), text(&data), text(&mail), place.log());
        let (directory, log, certificate, key) =
            (text(place.directory()), text(&log), place.certificate(), place.key());
        let (certificate, key) = (text(&certificate), text(&key));
        format!(
            "compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file_prefixes = {directory}
maillog_file = {log}
myhostname = {NAME}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
alias_maps =
alias_database =
virtual_mailbox_domains = {NAME}
virtual_mailbox_maps = inline:{{ {USER}@{NAME}={USER} }}
virtual_mailbox_base = {mail}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
"
        )
    });
    place.write("etc/master.cf", &format!("127.0.0.1:{smtp} inet n - n - - smtpd\n{PARTS}"));
    place.must(Command::new(program("postfix")).arg("-c").arg(&configuration).arg("check"));
    let mut master = Command::new("/usr/lib/postfix/sbin/master");
    // -d: stays in its process group.
    master.arg("-d").arg("-c").arg(&configuration);
    place.launch(&master).ready("smtp", smtp, b"", "220 ")
}

/// The parts that a letter passes through, none of them in a chroot.
const PARTS: &str = "cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";
