//! ProFTPD: FTP with AUTH TLS, PROT and CCC.
//!
//! | service | what it is |
//! |---|---|
//! | `ftp` | logs [`USER`] in after AUTH TLS only; data connections with or without TLS |
//! | `ftp-resumed` | the same, but a data connection must resume the TLS session of its control connection |
//!
//! Both take CCC, since `TLSRequired auth` asks for TLS on the control connection until the log-in, not beyond. The user
//! is one of a file, not of the system. His home is [`home`], with [`FILES`](super::FTP_FILES) in it; he owns it.
//!
//! Its CCC: the 200 goes through TLS, its close_notify follows at once, in a segment of its own. It takes our close_notify
//! next, or plaintext right away. AUTH SSL it takes too, and data connections are private from there on.
//!
//! It starts as root and becomes `nobody`.

use std::path::PathBuf;
use std::process::Command;

use super::place::{Place, Running, free_port};
use super::{NAME, PASSWORD, Server, USER, program, text, write_ftp_files};

pub(crate) const PROFTPD: Server =
    Server { name: "proftpd", programs: &["proftpd", "ftpasswd"], needs_root: true, start };

/// The directory of [`USER`].
pub(crate) fn home(proftpd: &Running) -> PathBuf {
    proftpd.place().path("home")
}

fn start(place: Place) -> Running {
    let (ftp, resumed) = (free_port(), free_port());
    let home = place.folder("home");
    write_ftp_files(&home);
    place.must(Command::new("chown").arg("-R").arg("nobody:").arg(&home));
    let users = place.path("users");
    let mut ftpasswd = Command::new("sh");
    let add = r#"echo "$3" | "$0" --passwd --stdin --sha512 --file="$1" --name="$2" --uid=65534 --gid=65534 --shell=/bin/false --home="$4""#;
    ftpasswd.args(["-c", add]).arg(program("ftpasswd")).arg(&users).args([USER, PASSWORD]).arg(&home);
    place.must(&mut ftpasswd);
    let configuration = place.write("proftpd.conf", &{
        let (directory, users, log) = (text(place.directory()), text(&users), place.log());
        let (certificate, key, log) = (place.certificate(), place.key(), text(&log));
        let (certificate, key) = (text(&certificate), text(&key));
        let tls = format!(
            "TLSEngine on
TLSECCertificateFile {certificate}
TLSECCertificateKeyFile {key}
TLSRequired auth
TLSLog {log}"
        );
        format!(
            "ModulePath /usr/lib/proftpd
LoadModule mod_tls.c
ServerName {NAME}
ServerType standalone
DefaultAddress 127.0.0.1
UseReverseDNS off
UseIPv6 off
Port {ftp}
User nobody
Group nogroup
PidFile {directory}/pid
ScoreboardFile {directory}/scoreboard
SystemLog {log}
TransferLog none
WtmpLog off
DelayEngine off
<Global>
AuthOrder mod_auth_file.c
AuthUserFile {users}
RequireValidShell off
AllowOverwrite on
</Global>
{tls}
TLSOptions NoSessionReuseRequired
<VirtualHost 127.0.0.1>
Port {resumed}
{tls}
</VirtualHost>
"
        )
    });
    let mut proftpd = Command::new(program("proftpd"));
    proftpd.arg("--nodaemon").arg("--config").arg(configuration);
    place.launch(&proftpd).ready("ftp", ftp, b"", "220 ").ready("ftp-resumed", resumed, b"", "220 ")
}
