//! `onion connect` against `onion serve`: every command of the onion line protocol.

use sha2::{Digest, Sha256};

use crate::common::Authority;
use crate::onion::{Directory, Outcome, Server, run};

/// A server, and the arguments of a client that it and that trusts it.
struct Pair {
    server: Server,
    directory: Directory,
}

impl Pair {
    fn new() -> Self {
        let directory = Directory::new();
        Self { server: Server::self_signed(&directory), directory }
    }

    /// A client with these further arguments and this script.
    fn talk(&self, arguments: &[&str], script: impl AsRef<[u8]>) -> Outcome {
        let ca = self.directory.file("ca.pem");
        let common = ["connect", &self.server.endpoint, "--ca", &ca];
        run(common.into_iter().chain(arguments.iter().copied()), script)
    }

    fn lockstep(&self, script: impl AsRef<[u8]>) -> Outcome {
        let (cert, key) = (self.directory.file("cert.pem"), self.directory.file("key.pem"));
        self.talk(&["--lockstep", "--cert", &cert, "--key", &key], script)
    }
}

fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn layers_start_nest_and_stop() {
    let pair = Pair::new();
    let script = lines(&[
        "DEPTH",
        r"\starttls outer.example",
        "DEPTH",
        r"\rstarttls inner.example",
        "ECHO inside two",
        r"\starttls",
        "DEPTH",
        r"\layers",
        r"\stoptls",
        "DEPTH",
        r"\astoptls",
        "ECHO inside one",
        r"\stoptls",
        "DEPTH",
        r"\starttls inner.example",
        "DEPTH",
        r"\quit",
    ]);
    let outcome = pair.lockstep(script).succeeded();
    let expected = [
        "DEPTH 0 -",
        "OK STARTTLS 1",
        "DEPTH 1 TLSv1.3",
        "OK RSTARTTLS 2",
        "ECHO inside two",
        "OK STARTTLS 3",
        "DEPTH 3 TLSv1.3/TLSv1.3/TLSv1.3",
        "OK STOPTLS 2",
        "DEPTH 2 TLSv1.3/TLSv1.3",
        "OK ASTOPTLS 1",
        "ECHO inside one",
        "OK STOPTLS 0",
        "DEPTH 0 -",
        "OK STARTTLS 1",
        "DEPTH 1 TLSv1.3",
        "BYE",
    ];
    assert_eq!(outcome.lines(), expected);
    let layers = outcome.stderr.trim_end();
    assert!(layers.ends_with(&pair.server.endpoint.replacen(':', " ", 1)), "{layers}");
    assert_eq!(layers.matches("  TLSv1.3  ").count(), 3, "{layers}");
    assert!(layers.contains("socket: resolved ") && layers.contains(" ms  connected "), "{layers}");
    assert!(layers.contains("outer.example") && layers.matches("  sha256 ").count() == 2, "{layers}");
    assert!(layers.contains("client \"outer.example\"") && layers.contains("server \"inner.example\""), "{layers}");
}

#[test]
fn glue_bulk_and_sink_are_answered_in_full() {
    let pair = Pair::new();
    let mut data: Vec<u8> = (0..100_000).map(|index| u8::try_from(index % 251).unwrap()).collect();
    // What looks like a local command is data here.
    data[..9].copy_from_slice(b"\\starttls");
    let digest: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut script = lines(&[r"\starttls", r"\starttls", "GLUE  to the lid ", "DEPTH", "BULK 70000", "BULK 0"]);
    script.push_str("SINK 100000\n");
    let script = [script.as_bytes(), &data, lines(&["SINK 0", r"\stoptls", "DEPTH", r"\quit"]).as_bytes()].concat();
    let outcome = pair.lockstep(script).succeeded();
    let sunk = format!("SUNK 100000 {digest}");
    let bulk = format!("{}BULK 0", "x".repeat(70_000));
    let expected = [
        "OK STARTTLS 1",
        "OK STARTTLS 2",
        "OK GLUE",
        "GLUED  to the lid ",
        "DEPTH 1 TLSv1.3",
        "BULK 70000",
        &bulk,
        &sunk,
        "SUNK 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "OK STOPTLS 0",
        "DEPTH 0 -",
        "BYE",
    ];
    assert_eq!(outcome.lines(), expected);
}

#[test]
fn wrong_commands_are_refused_and_the_session_goes_on() {
    let pair = Pair::new();
    let script =
        lines(&["HELO", "", "STOPTLS", "ASTOPTLS", "GLUE a", "BULK x", "DEPTH 1", r"\\starttls", "ECHO still here"]);
    let outcome = pair.lockstep(script).succeeded();
    let expected = [
        "ERR unknown command",
        "ERR unknown command",
        "ERR no layer to stop",
        "ERR no layer to stop",
        "ERR no layer to stop",
        "ERR a count is a decimal number of at most 18 digits",
        "ERR this command takes no argument",
        "ERR unknown command",
        "ECHO still here",
    ];
    assert_eq!(outcome.lines(), expected);
}

#[test]
fn sixteen_layers_are_the_limit() {
    let pair = Pair::new();
    let script = lines(&[[r"\starttls"; 16].as_slice(), &["DEPTH", "STARTTLS", "RSTARTTLS", r"\quit"]].concat());
    let outcome = pair.lockstep(script).succeeded();
    let last = &outcome.lines()[16..];
    assert_eq!(last[0], format!("DEPTH 16 {}", ["TLSv1.3"; 16].join("/")));
    assert_eq!(last[1..], ["ERR depth is limited to 16", "ERR depth is limited to 16", "BYE"]);
}

#[test]
fn without_lockstep_everything_arrives_and_the_end_is_clean() {
    let pair = Pair::new();
    let lines: String = (0..5000).map(|index| format!("ECHO line {index}\r\n")).collect();
    let outcome = pair.talk(&[], format!("\\starttls outer.example\n\\starttls inner.example\n{lines}")).succeeded();
    assert_eq!(outcome.stdout, format!("OK STARTTLS 1\r\nOK STARTTLS 2\r\n{lines}"));
    assert_eq!(outcome.stderr, "");
}

#[test]
fn both_directions_flow_at_once() {
    let pair = Pair::new();
    // More in each direction than all buffers on the way hold, and asked for before it is read.
    let count = 20_000_000;
    let script = [format!("BULK {count}\nSINK {count}\n").into_bytes(), vec![b'\\'; count], b"ECHO done".to_vec()];
    let outcome = pair.talk(&[], [&b"\\starttls\n"[..], &script.concat(), b"\n"].concat()).succeeded();
    let answers = outcome.lines();
    assert_eq!(answers[..2], ["OK STARTTLS 1", "BULK 20000000"]);
    let (bulk, sunk) = answers[2].split_at(count);
    assert!(bulk.bytes().all(|byte| byte == b'x'));
    assert!(sunk.starts_with("SUNK 20000000 "), "{sunk}");
    assert_eq!(answers[3], "ECHO done");
}

#[test]
fn a_layer_that_the_peer_closes_without_a_local_command_is_peeled() {
    let pair = Pair::new();
    // Without lockstep nobody tells this client what GLUE does: it sees the end of a layer.
    let outcome = pair.talk(&[], "\\starttls\nGLUE a\n").succeeded();
    assert_eq!(outcome.lines(), ["OK STARTTLS 1", "OK GLUE", "GLUED a"]);
}

#[test]
fn lockstep_does_not_wait_for_an_answer_that_cannot_come() {
    let pair = Pair::new();
    let outcome = pair.lockstep("\\starttls\nSTOPTLS\nECHO a\n");
    let line = outcome.failed(1);
    assert!(line.contains("layer #") && line.contains("before it had answered"), "{line}");
}

#[test]
fn an_endpoint_brings_layers_with_it() {
    let directory = Directory::new();
    drop(Server::self_signed(&directory));
    let (cert, key, ca) = (directory.file("cert.pem"), directory.file("key.pem"), directory.file("ca.pem"));
    let step = format!("+tls:cert={cert}:key={key}");
    let server = Server::start([&*format!("tcp:127.0.0.1:0{step}:max=1.2{step}"), "--self-signed", &directory.text()]);
    let endpoint = format!("{}+tls:ca={ca}+tls:sni=inner.example", server.endpoint);
    let outcome = run(["connect", &endpoint, "--ca", &ca, "--lockstep"], "DEPTH\n\\stoptls\nDEPTH\n").succeeded();
    assert_eq!(outcome.lines(), ["DEPTH 2 TLSv1.2/TLSv1.3", "OK STOPTLS 1", "DEPTH 1 TLSv1.2"]);
}

#[test]
fn a_server_asks_for_client_certificates() {
    let directory = Directory::new();
    drop(Server::self_signed(&directory));
    let (cert, key, ca) = (directory.file("cert.pem"), directory.file("key.pem"), directory.file("ca.pem"));
    let server = Server::start(["tcp:127.0.0.1:0", "--cert", &cert, "--key", &key, "--client-ca", &ca]);
    let common = ["connect", &server.endpoint, "--ca", &ca, "--lockstep"];
    let script = "\\starttls\nDEPTH\n";
    let shown = run(common.into_iter().chain(["--cert", &cert, "--key", &key]), script).succeeded();
    assert_eq!(shown.lines(), ["OK STARTTLS 1", "DEPTH 1 TLSv1.3"]);
    let line = run(common, script).failed(1);
    assert!(line.contains("layer #") && line.contains("certificate_required"), "{line}");
    assert!(line.contains("--cert and --key"), "{line}");

    // One that nobody there knows is refused with another alert, and the advice is the same.
    let (chain, secret) = Authority::new().pem_identity("stranger");
    let (cert, key) = (directory.file("strange.pem"), directory.file("strange-key.pem"));
    std::fs::write(&cert, chain).unwrap();
    std::fs::write(&key, secret).unwrap();
    let line = run(common.into_iter().chain(["--cert", &cert, "--key", &key]), script).failed(1);
    assert!(!line.contains("certificate_required") && line.contains("that the peer accepts"), "{line}");
}

#[test]
fn insecure_accepts_what_nobody_vouches_for() {
    let pair = Pair::new();
    let script = "\\starttls anything.example\nDEPTH\n";
    let outcome = run(["connect", &pair.server.endpoint, "--insecure", "--lockstep"], script).succeeded();
    assert_eq!(outcome.lines(), ["OK STARTTLS 1", "DEPTH 1 TLSv1.3"]);
}

/// `--insecure` fills in what a step leaves out: one that says what is to be verified is not made insecure by it.
#[test]
fn p3_insecure_takes_nothing_from_what_a_step_verifies() {
    let directory = Directory::new();
    drop(Server::self_signed(&directory));
    let (cert, key, ca) = (directory.file("cert.pem"), directory.file("key.pem"), directory.file("ca.pem"));
    let server = Server::start(["tcp:127.0.0.1:0+tls", "--cert", &cert, "--key", &key]);
    let transport = server.endpoint.split('+').next().unwrap();
    let stranger = directory.write("stranger.pem", Authority::new().pem());
    let wrong = "0".repeat(64);
    let connect = |keys: &str| run(["connect", &format!("{transport}+tls:{keys}"), "--insecure"], "QUIT\n");
    for (keys, part) in [
        ("sni=localhost:verify=chain".to_owned(), "authority"),
        ("sni=localhost:verify=name".to_owned(), "authority"),
        ("sni=localhost:names=a.example".to_owned(), "authority"),
        (format!("sni=localhost:verify=pin:pin={wrong}"), "pin"),
        (format!("sni=localhost:pin={wrong}"), "authority"),
        (format!("sni=localhost:ca={stranger}"), "authority"),
        (format!("sni=a.example:ca={ca}"), "a.example"),
        (format!("sni=a.example:ca={ca}:verify=name"), "a.example"),
    ] {
        let line = connect(&keys).failed(1);
        assert!(line.contains(part), "{keys}: {line} should tell of {part}");
    }
    // The controls: what is verified and right, and a step that says nothing.
    for keys in [&*format!("sni=a.example:ca={ca}:verify=chain"), &*format!("sni=localhost:ca={ca}"), "sni=a.example"] {
        connect(keys).succeeded();
    }
    run(["connect", &format!("{transport}+tls:sni=a.example")], "QUIT\n").failed(1);
}
