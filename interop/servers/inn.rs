//! INN's nnrpd: NNTP with STARTTLS.
//!
//! | service | what it is |
//! |---|---|
//! | `nntp` | offers STARTTLS; everybody reads [`GROUP`], which is empty; what is posted finds no server behind it |
//!
//! It is the part of INN that talks to readers, alone. It logs to syslog, so a case that fails finds nothing in its log.
//!
//! It runs as the user `news`, and with no other. As a package it would set up a whole news server, so `.ci/packages`
//! unpacks it.

use std::process::Command;

use super::place::{Place, Running, as_user, free_port};
use super::{NAME, Server, program, text};

pub(crate) const INN: Server =
    Server { name: "inn", programs: &["nnrpd", "makehistory", "makedbz"], needs_root: true, start };

/// The only newsgroup.
pub(crate) const GROUP: &str = "onion.test";

fn start(place: Place) -> Running {
    let nntp = free_port();
    for name in ["spool/overview", "spool/incoming/tmp", "spool/articles", "run", "logs"] {
        place.folder(name);
    }
    place.write("spool/active", &format!("{GROUP} 0000000000 0000000001 y\n"));
    place.write("spool/newsgroups", &format!("{GROUP}\tonion\n"));
    for empty in ["spool/active.times", "spool/history", "distributions"] {
        place.write(empty, "");
    }
    place.write("storage.conf", "method tradspool {\n newsgroups: *\n class: 0\n}\n");
    place.write(
        "readers.conf",
        "auth all {\n hosts: *\n default: <all>\n}\naccess all {\n users: *\n newsgroups: *\n access: RP\n}\n",
    );
    let configuration = place.write("inn.conf", &{
        let (directory, nnrpd) = (text(place.directory()), program("nnrpd"));
        let (certificate, key) = (place.certificate(), place.key());
        let (certificate, key) = (text(&certificate), text(&key));
        let programs = text(nnrpd.parent().expect("a program lies in a folder"));
        format!(
            "mta: \"/bin/true %s\"
pathhost: {NAME}
domain: {NAME}
hismethod: hisv6
ovmethod: tradindexed
enableoverview: true
readerswhenstopped: true
nnrpdloadlimit: 0
pathnews: {directory}
pathetc: {directory}
pathbin: {programs}
pathdb: {directory}/spool
pathspool: {directory}/spool
pathrun: {directory}/run
pathlog: {directory}/logs
pathtmp: {directory}/spool/incoming/tmp
tlscapath: {directory}
tlscertfile: {certificate}
tlskeyfile: {key}
"
        )
    });
    place.give_to("news");
    let command = |name: &str| {
        let mut command = as_user("news", &program(name));
        command.env("INNCONF", &configuration).env("LD_LIBRARY_PATH", LIBRARIES);
        command
    };
    // An overview and a history of nothing.
    place.must(command("makehistory").args(["-O", "-x"]));
    place.must(command("makedbz").args(["-i", "-o"]));
    let mut nnrpd: Command = command("nnrpd");
    nnrpd.args(["-D", "-f", "-n", "-4", "127.0.0.1", "-p", &nntp.to_string()]);
    place.launch(&nnrpd).ready("nntp", nntp, b"", "200 ")
}

const LIBRARIES: &str = "/opt/onionskin-peers/inn2/usr/lib/news:/opt/onionskin-peers/inn2-inews/usr/lib/news";
