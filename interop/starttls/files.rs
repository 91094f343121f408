//! FTP, and the way back to a control connection in clear: our client and our server, the examples `ftp_get` and
//! `ftp_server`, thirty times each.

use crate::Case;
use crate::bench::Bench;
use crate::clients::{Ended, curl, lftp, python};
use crate::example::{example, serve};
use crate::servers::proftpd::PROFTPD;
use crate::servers::pure_ftpd::PURE_FTPD;
use crate::servers::{FTP_FILES, NAME, PASSWORD, Server, USER, ftp_file};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ccc in [false, true] {
        cases.push(gets(&PROFTPD, "ftp", ccc));
        cases.push(gets(&PROFTPD, "ftp-resumed", ccc));
        cases.push(gets(&PURE_FTPD, "ftp", ccc));
    }
    const CCC: &str = "--ftp-ssl-ccc";
    for (how, options) in [
        ("all over TLS", &[][..]),
        ("CCC, curl waits for us to stop and does not answer", &[CCC, "--ftp-ssl-ccc-mode", "passive"]),
        ("CCC, curl stops first", &[CCC, "--ftp-ssl-ccc-mode", "active"]),
    ] {
        cases.push(serves("curl", how, move |bench, address| {
            let options = [&["--user", "anonymous:guest"], options].concat();
            curl(bench, "ftp", address, "large", &options, "")
        }));
    }
    for (how, settings) in [("all over TLS", &[][..]), ("CCC", &["ftp:ssl-use-ccc yes"])] {
        cases.push(serves("lftp", how, move |bench, address| {
            let settings = [&["ftp:ssl-allow-anonymous yes"], settings].concat();
            lftp(bench, address, &settings, &format!("open -u anonymous,guest ftp://{address}\ncat large"))
        }));
    }
    for (how, what) in [("all over TLS", "ftp-get"), ("CCC", "ftp-get-ccc")] {
        cases.push(serves("python3", how, move |bench, address| python(bench, what, address)));
    }
    cases
}

/// Our client with a server of somebody else.
fn gets(server: &'static Server, service: &'static str, ccc: bool) -> Case {
    let how = if ccc { "CCC" } else { "all over TLS" };
    let name = format!("ftp_get with {}: {service}, {how}, {RUNS} times", server.name);
    Case::new(name, move |bench| {
        let endpoint = format!("tcp:{}", bench.server(server).address(service));
        for run in 1..=RUNS {
            let mut command = example("ftp_get");
            command.args([&endpoint, "large", "--name", NAME, "--user", &format!("{USER}:{PASSWORD}"), "--ca"]);
            command.arg(bench.ca()).args(ccc.then_some("--ccc"));
            let output = command.output().expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "run {run}: {said}");
            assert!(output.stdout == large_file(), "run {run}: {} bytes came; {said}", output.stdout.len());
        }
    })
    .talks_to(&[server])
}

/// Our server with a client of somebody else.
fn serves(client: &'static str, how: &str, run: impl Fn(&Bench, &str) -> Ended + Send + 'static) -> Case {
    // They run at the same time, and each writes the file that it serves.
    let folder = format!("ftp_server for {client}, {how}");
    Case::new(format!("ftp_server with {client}: {how}, {RUNS} times"), move |bench| {
        let root = bench.directory().join(&folder);
        std::fs::create_dir_all(&root).expect("a folder can be made");
        std::fs::write(root.join("large"), large_file()).expect("a file can be written");
        let mut command = example("ftp_server");
        command.arg("tcp:127.0.0.1:0").arg(&root).arg(bench.certificate(NAME)).arg(bench.key(NAME));
        let (_server, address) = serve(&mut command);
        let expected = String::from_utf8(large_file()).expect("it is text");
        for _ in 0..RUNS {
            run(bench, &address).with(&expected);
        }
    })
    .uses(client)
}

fn large_file() -> Vec<u8> {
    ftp_file(FTP_FILES[2].1)
}

const RUNS: usize = 30;
