//! aiosmtpd: an SMTP server in Python's asyncio, with STARTTLS.
//!
//! | service | what it is |
//! |---|---|
//! | `smtp` | offers STARTTLS |
//! | `smtp-required` | takes no mail before STARTTLS |
//!
//! Both take mail for anybody, and log `letter over TLSv1.3` (or another version, or `in clear`) with its lines. It is
//! a library: the program around it is `aiosmtpd_server.py`. It runs as ourselves.

use std::process::Command;

use super::Server;
use super::place::{Place, Running, free_port};

pub(crate) const AIOSMTPD: Server = Server {
    name: "aiosmtpd",
    // Debian's package serves Debian's Python.
    programs: &[PYTHON, "/usr/lib/python3/dist-packages/aiosmtpd/smtp.py"],
    needs_root: false,
    start,
};

fn start(place: Place) -> Running {
    let (smtp, required) = (free_port(), free_port());
    let mut server = Command::new(PYTHON);
    server.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/servers/aiosmtpd_server.py"));
    server.arg(place.certificate()).arg(place.key()).args([smtp, required].map(|port| port.to_string()));
    place.launch(&server).ready("smtp", smtp, b"", "220 ").ready("smtp-required", required, b"", "220 ")
}

const PYTHON: &str = "/usr/bin/python3";
