//! The onion line protocol against a peer in Python's standard library, as server and as client.
//!
//! The peer (`onion_peer.py`) shares nothing with us: it nests `ssl.MemoryBIO`, and checks every answer itself. On our
//! side stands the command `onion`.

use std::process::Command;

use crate::Case;
use crate::bench::{Bench, Peer};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, run: Box<dyn FnOnce(&Bench) + Send>| {
        cases.push(Case::new(format!("python {name}"), run).needs("python3", "--version"));
    };
    for (name, steps) in SCRIPTS {
        for (how, options) in VARIANTS {
            add(format!("client: {name}, {how}"), Box::new(move |bench| python_client(bench, steps, options)));
        }
    }
    for (how, options) in SERVER_VARIANTS {
        add(format!("server: every command, {how}"), Box::new(move |bench| python_server(bench, options)));
    }
    for (fault, script, said) in FAULTS {
        add(format!("faulty server: {fault}"), Box::new(move |bench| python_fault(bench, fault, script, said)));
    }
    cases
}

/// What the Python client does and checks.
const SCRIPTS: &[(&str, &str)] = &[
    ("in clear", "echo:hello depth:0:- bulk:100000 sink:100000 refused:NONSENSE refused:STOPTLS pipeline quit"),
    (
        "nested and stopped",
        "echo:a starttls:outer.example echo:b starttls:inner.example echo:c bulk:50000 sink:50000 stoptls echo:d stoptls echo:e depth:0:- quit",
    ),
    (
        "five deep",
        "starttls starttls:outer.example starttls:inner.example starttls starttls echo:deep depth bulk:40000 stoptls astoptls stoptls astoptls stoptls echo:out quit",
    ),
    ("the asker stops first", "starttls astoptls starttls starttls astoptls astoptls echo:out quit"),
    (
        "roles turned round",
        "rstarttls:localhost echo:a starttls:inner.example echo:b rstarttls:localhost echo:c stoptls astoptls stoptls echo:d quit",
    ),
    (
        "plaintext right behind the close_notify",
        "starttls:outer.example glue:first starttls starttls glue:second glue:third echo:out quit",
    ),
    ("a close_notify that nobody announced", "starttls starttls unannounced echo:a unannounced echo:b depth:0:- quit"),
    (
        "ClientHello in the segment of the command",
        "coalesce-hello:outer.example echo:a coalesce-hello:inner.example echo:b stoptls stoptls quit",
    ),
    (
        "ClientHello right behind the close_notify",
        "starttls restart:inner.example echo:a restart:outer.example echo:b stoptls quit",
    ),
    ("both stop at once", "starttls starttls cross echo:a cross echo:b quit"),
    ("half closed", "starttls halfclose:20000 echo:a quit"),
    ("data behind the command to stop", "starttls late:lost echo:a quit"),
    ("plaintext behind STARTTLS", "echo:a inject:ECHO"),
    ("ends without QUIT", "starttls starttls echo:a"),
];

const VARIANTS: &[(&str, &[&str])] = &[
    ("TLS 1.3", &["--tls", "1.3"]),
    ("TLS 1.2", &["--tls", "1.2"]),
    ("versions mixed, 7 bytes a send", &["--tls", "1.3,1.2", "--max-send", "7"]),
];

fn python_client(bench: &Bench, steps: &str, options: &[&str]) {
    let mut server = onion(&["serve", "tcp:127.0.0.1:0"]);
    server.arg("--cert").arg(bench.certificate("localhost")).arg("--key").arg(bench.key("localhost"));
    for name in ["outer.example", "inner.example"] {
        let (cert, key) = (bench.certificate(name), bench.key(name));
        server.arg("--name").arg(format!("{name}={},{}", cert.display(), key.display()));
    }
    let mut server = Peer::start(server.arg("--ca").arg(bench.ca()));
    let port = server.expect("listening on tcp:127.0.0.1:").rsplit(':').next().unwrap_or_default().to_owned();

    let mut client = python(&["connect", "127.0.0.1", &port, "--ca"]);
    client.arg(bench.ca());
    client.arg("--cert").arg(bench.certificate("localhost")).arg("--key").arg(bench.key("localhost"));
    let (content, said) = Peer::start(client.args(options).args(steps.split(' '))).finish();
    assert!(content, "{said}");
    assert!(said.contains("hold"), "{said}");
}

const SERVER_VARIANTS: &[(&str, &[&str])] =
    &[("TLS 1.3", &[]), ("TLS 1.2", &["--max-version", "1.2"]), ("5 bytes a send", &["--max-send", "5"])];

fn python_server(bench: &Bench, options: &[&str]) {
    let (_server, address) = serve(bench, "serve", options);
    let mut client = onion(&["connect", &address, "--lockstep", "--ca"]);
    client.arg(bench.ca());
    client.arg("--cert").arg(bench.certificate("localhost")).arg("--key").arg(bench.key("localhost"));
    let mut client = Peer::start(&mut client);
    let version = if options.contains(&"1.2") { "TLSv1.2" } else { "TLSv1.3" };
    let script = [
        ("ECHO in clear", "ECHO in clear".to_owned()),
        ("DEPTH", "DEPTH 0 -".to_owned()),
        ("STOPTLS", "ERR".to_owned()),
        ("\\starttls outer.example", "OK STARTTLS 1".to_owned()),
        ("ECHO outer", "ECHO outer".to_owned()),
        ("\\starttls inner.example", "OK STARTTLS 2".to_owned()),
        ("\\rstarttls localhost", "OK RSTARTTLS 3".to_owned()),
        ("DEPTH", format!("DEPTH 3 {version}/{version}/{version}")),
        ("\\stoptls", "OK STOPTLS 2".to_owned()),
        ("ECHO two deep", "ECHO two deep".to_owned()),
        ("\\astoptls", "OK ASTOPTLS 1".to_owned()),
        ("DEPTH", format!("DEPTH 1 {version}")),
        ("\\starttls localhost", "OK STARTTLS 2".to_owned()),
        ("ECHO again", "ECHO again".to_owned()),
        ("\\stoptls", "OK STOPTLS 1".to_owned()),
        ("\\stoptls", "OK STOPTLS 0".to_owned()),
        ("ECHO out", "ECHO out".to_owned()),
        ("\\quit", "BYE".to_owned()),
    ];
    for (said, answer) in &script {
        client.say(&format!("{said}\n"));
        client.expect(answer);
    }
    let (content, said) = client.finish();
    assert!(content, "{said}");
}

/// What a server does wrong, what our client says to it, and what our client must then say of it.
const FAULTS: &[(&str, &str, &str)] = &[
    ("plaintext-after-ok", "\\starttls localhost\n", "speaking plaintext"),
    ("garbage-instead-of-close", "\\starttls localhost\n\\stoptls\n", "layer #1"),
    ("no-close-notify", "\\starttls localhost\n\\stoptls\n", "did not answer"),
    ("stall-handshake", "\\starttls localhost\n", "deadline"),
    ("eof-in-handshake", "\\starttls localhost\n", "ended during the handshake"),
    ("reset-mid-data", "\\starttls localhost\nBULK 100000\n", "reset"),
];

fn python_fault(bench: &Bench, fault: &str, script: &str, expected: &str) {
    let (_server, address) = serve(bench, "faulty", &["--fault", fault]);
    let mut client = onion(&["connect", &address, "--lockstep", "--ca"]);
    let mut client = Peer::start(client.arg(bench.ca()));
    client.say(script);
    let (content, said) = client.finish();
    assert!(!content && said.contains(expected), "{said:?} should tell of {expected:?}");
    assert!(!said.lines().any(|line| line == "ECHO injected"), "{said:?}");
}

/// A Python server on a port that it picked.
fn serve(bench: &Bench, kind: &str, options: &[&str]) -> (Peer, String) {
    let mut server = python(&[kind, "--port", "0", "--ca"]);
    server.arg(bench.ca());
    server.arg("--cert").arg(bench.certificate("localhost")).arg("--key").arg(bench.key("localhost"));
    for name in ["outer.example", "inner.example"] {
        let (cert, key) = (bench.certificate(name), bench.key(name));
        server.arg("--name").arg(format!("{name}={},{}", cert.display(), key.display()));
    }
    let mut server = Peer::start(server.args(options));
    let line = server.expect("listening on tcp:");
    (server, line.rsplit(' ').next().unwrap_or_default().to_owned())
}

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/onion_peer.py")).args(arguments);
    command
}

fn onion(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onion"));
    command.args(arguments);
    command
}
