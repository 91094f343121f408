//! Text that a peer has chosen: whichever way it comes in, it reaches terminal and log as text on one line.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use onionskin::printable::is_printable;
use onionskin::tls::{Identity, TlsServer};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, SanType};

use crate::common::Authority;
use crate::onion::{Directory, Server, onion, run};
use crate::open_server::{Manners, serve};

/// What is not to be read, and how it is shown.
const NASTY: [(&[u8], &str); 8] = [
    (b"\n", r"\n"),
    (b"\x1b[2J", r"\x1b[2J"),
    // CSI in one character.
    ("\u{9b}2J".as_bytes(), r"\u{9b}2J"),
    (b"\r", r"\r"),
    (b"\x7f", r"\x7f"),
    ("\u{202e}".as_bytes(), r"\u{202e}"),
    (b"\xff\xfe", r"\xff\xfe"),
    // What is to be read, in whatever script.
    ("Grüße 東京".as_bytes(), "Grüße 東京"),
];

/// Those that can stand in a line.
fn in_a_line() -> impl Iterator<Item = (&'static [u8], &'static str)> {
    NASTY.into_iter().filter(|(nasty, _)| !nasty.contains(&b'\n') && !nasty.contains(&b'\r'))
}

/// Nothing but lines of text, and `shown` in one of them.
#[track_caller]
fn assert_harmless(text: &str, shown: &str) {
    let harmless = |c: char| c == '\n' || is_printable(c);
    assert!(text.chars().all(harmless), "{text:?}");
    assert!(text.contains(shown), "no {shown} in {text:?}");
}

/// `before`, the words of another, `after`.
fn around(before: &str, words: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), words, after.as_bytes()].concat()
}

/// Says each of these to whoever connects, the next one when it has heard something; an endpoint.
fn server_that_says(turns: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            for turn in &turns {
                if socket.write_all(turn).is_err() {
                    break;
                }
                let _ = socket.read(&mut [0; 4096]);
            }
        }
    });
    format!("tcp:{address}")
}

/// A header of version 2 whose client has this Unix address.
fn proxy_header(path: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".to_vec();
    header.extend(path);
    header.resize(16 + 108, 0);
    header.extend(b"/run/front.sock");
    header.resize(16 + 216, 0);
    header
}

/// Sends this and waits for the end.
fn visit(endpoint: &str, bytes: &[u8]) {
    let mut socket = TcpStream::connect(endpoint.strip_prefix("tcp:").unwrap()).unwrap();
    socket.write_all(bytes).unwrap();
    let _ = socket.read_to_end(&mut Vec::new());
}

#[test]
fn the_unix_address_in_a_proxy_header_reaches_the_log_as_text() {
    let directory = Directory::new();
    let _ = Server::self_signed(&directory);
    let step = format!("tls:cert={}:key={}", directory.file("cert.pem"), directory.file("key.pem"));
    let server = Server::start([&*format!("tcp:127.0.0.1:0+proxy-header+{step}")]);
    for (nasty, _) in NASTY {
        // Its handshake fails, which is told with the address.
        visit(&server.endpoint, &[proxy_header(&around("/tmp/", nasty, "!")), b"no TLS".to_vec()].concat());
    }
    // One in the abstract namespace, and one without a name.
    visit(&server.endpoint, &[proxy_header(b"\0app\x1b"), b"no TLS".to_vec()].concat());
    visit(&server.endpoint, &[proxy_header(b""), b"no TLS".to_vec()].concat());
    let outcome = server.stop("TERM").succeeded();
    for (_, shown) in NASTY {
        assert_harmless(&outcome.stderr, &format!("unix /tmp/{shown}!"));
    }
    assert_harmless(&outcome.stderr, r"unix @app\x1b:");
    assert_harmless(&outcome.stderr, "unix /run/front.sock:");
    assert_eq!(outcome.stderr.lines().count(), NASTY.len() + 2, "{outcome:?}");
}

#[test]
fn a_greeting_and_a_refusal_are_told_on_one_line_of_text() {
    for (nasty, shown) in in_a_line() {
        for (protocol, turns) in [
            ("smtp", vec![around("554 ", nasty, " go\r\n")]),
            ("smtp", vec![b"220 me\r\n".to_vec(), b"250 STARTTLS\r\n".to_vec(), around("454 ", nasty, " no\r\n")]),
            ("imap", vec![around("* BYE ", nasty, " gone\r\n")]),
            ("pop3", vec![around("-ERR ", nasty, " no\r\n")]),
            ("nntp", vec![around("400 ", nasty, " no\r\n")]),
            ("ftp", vec![b"220 me\r\n".to_vec(), around("534 ", nasty, " no\r\n")]),
            ("sieve", vec![around("BYE \"", nasty, " gone\"\r\n")]),
            ("irc", vec![around("ERROR :", nasty, " closed\r\n")]),
        ] {
            let endpoint = format!("{}+starttls:{protocol}:insecure=yes", server_that_says(turns));
            for (arguments, status) in
                [(&["connect", &*endpoint][..], 1), (&["probe", &endpoint], 4), (&["probe", &endpoint, "--json"], 4)]
            {
                let outcome = run(arguments.iter().copied(), "");
                assert_harmless(&outcome.stdout, "");
                assert_harmless(&outcome.failed(status), shown);
            }
        }
    }
}

#[test]
fn what_is_said_where_tls_or_a_proxy_header_is_due_is_quoted_as_text() {
    for (nasty, shown) in in_a_line() {
        let said = around("hi ", nasty, "\"\r\n");
        let endpoint = format!("{}+tls:insecure=yes", server_that_says(vec![said.clone()]));
        assert_harmless(&run(["connect", &endpoint], "").failed(1), &format!("\"hi {shown}\\\"\""));

        let server = Server::start(["tcp:127.0.0.1:0+proxy-header"]);
        visit(&server.endpoint, &said);
        let outcome = server.stop("TERM").succeeded();
        assert_harmless(&outcome.stderr, &format!("\"hi {shown}\\\""));
    }
}

#[test]
fn an_answer_of_the_line_protocol_that_is_no_agreement_is_told_as_text() {
    for (nasty, shown) in in_a_line() {
        for (answer, message) in [("ERR ", "the peer refused STARTTLS"), ("OK ", "the peer answered STARTTLS")] {
            let endpoint = server_that_says(vec![Vec::new(), around(answer, nasty, "!\r\n")]);
            // The answer itself goes to standard output, byte for byte.
            let mut child = onion(["connect", &endpoint, "--insecure"]).spawn().unwrap();
            child.stdin.take().unwrap().write_all(b"\\starttls x.example\n").unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            let line = String::from_utf8(output.stderr).unwrap();
            assert_harmless(&line, &format!("{shown}!"));
            assert!(line.contains(message), "{line}");
        }
    }
}

#[test]
fn names_in_a_certificate_are_shown_as_text_and_the_json_has_them_as_they_are() {
    let (authority, directory) = (Authority::new(), Directory::new());
    let ca = directory.write("ca.pem", authority.pem());
    for (nasty, shown) in NASTY {
        // The names of a certificate are text by their types.
        let Ok(nasty) = std::str::from_utf8(nasty) else { continue };
        let mut params = CertificateParams::new(vec!["server.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("name {nasty}!"));
        let ascii = Ia5String::try_from(nasty.to_owned()).ok();
        params.subject_alt_names.extend(ascii.map(SanType::DnsName));
        let (chain, key) = authority.issue(&params);
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let address = serve("imap", Manners::HONEST, TlsServer::new(identity).unwrap());
        let endpoint = format!("{address}+starttls:imap:sni=server.example:ca={ca}");

        let outcome = run(["probe", &endpoint], "").succeeded();
        assert_harmless(&outcome.stdout, &format!("CN=name {shown}!"));
        let outcome = run(["probe", &endpoint, "--json"], "").succeeded();
        assert_harmless(&outcome.stdout, "CN=name ");
        let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        let subject = report["certificates"][0]["subject"].as_str().unwrap();
        assert!(subject.contains(&format!("name {nasty}!")), "{subject:?}");
    }
}
