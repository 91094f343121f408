//! `onion probe` at servers whose TLS is there and cannot be used: it says so, and for want of what.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use futures::AsyncReadExt;
use futures::io::AsyncWriteExt;
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::runtime::{self, Runtime, Socket};
use onionskin::starttls::KnownProtocol;
use onionskin::tls::{Identity, TlsServer, Version};
use rcgen::CertificateParams;
use serde_json::Value;

use crate::common::client_hello::ClientHello;
use crate::common::{Authority, BOTH};
use crate::onion::{Directory, Outcome, run};

const NAME: &str = "localhost";

pub(crate) struct Bench {
    pub(crate) authority: Authority,
    pub(crate) directory: Directory,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (authority, directory) = (Authority::new(), Directory::new());
        directory.write("ca.pem", authority.pem());
        Self { authority, directory }
    }

    pub(crate) fn ca(&self) -> String {
        self.directory.file("ca.pem")
    }

    /// The options for a client certificate of this authority.
    fn client(&self, authority: &Authority, name: &str) -> [String; 4] {
        let (chain, key) = authority.pem_identity(name);
        let (cert, key) =
            (self.directory.write(&format!("{name}.pem"), chain), self.directory.write(&format!("{name}.key"), key));
        ["--cert".to_owned(), cert, "--key".to_owned(), key]
    }

    /// Patient: the machine may be busy, and a server that hangs up does so when it comes to it.
    fn probe(&self, endpoint: &str, options: &[String]) -> (Outcome, Value) {
        let arguments = ["probe", endpoint, "--json", "--timeout", "30"];
        let outcome = run(arguments.into_iter().chain(options.iter().map(String::as_str)), "");
        let report = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
        (outcome, report)
    }

    /// With nobody to wait for: the server stays and says nothing.
    pub(crate) fn probe_in_haste(&self, endpoint: &str, options: &[&str]) -> (Outcome, Value) {
        let arguments = ["probe", endpoint, "--json", "--timeout", "5"];
        let outcome = run(arguments.into_iter().chain(options.iter().copied()), "");
        let report = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
        (outcome, report)
    }

    pub(crate) fn endpoint(&self, address: &str, steps: &str) -> String {
        format!("{address}+{steps}:sni={NAME}:ca={}", self.ca())
    }
}

/// Does the same with everybody who connects; an endpoint.
pub(crate) fn serve<F>(with: impl Fn(Connection<Socket>) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let runtime: &'static dyn Runtime = runtime::preferred().unwrap();
    let listener = runtime::block_on(runtime, runtime.listen_tcp(([127, 0, 0, 1], 0).into())).unwrap();
    let address = listener.local_address().as_tcp().unwrap();
    runtime.spawn(Box::pin(async move {
        while let Ok(socket) = listener.accept().await {
            let served = with(Connection::with_timer(socket, Arc::new(runtime)));
            runtime.spawn(Box::pin(async move {
                // That a client breaks off is no fault of the server's.
                let _ = served.await;
            }));
        }
    }));
    format!("tcp:{address}")
}

/// TLS, and then nothing but listening.
pub(crate) async fn listen(
    mut conn: Connection<Socket>,
    tls: Arc<TlsServer>,
    protocol: Option<KnownProtocol>,
) -> Result<(), Error> {
    match protocol {
        Some(protocol) => {
            conn.start_tls_as(&*protocol.peer(NAME, None), tls.accept()?).await?;
        }
        None => {
            conn.start_tls(tls.accept()?).await?;
        }
    }
    let mut buffer = [0; 512];
    while let Ok(1..) = conn.read(&mut buffer).await {}
    conn.close().await.map_err(|error| Error::of(&error).unwrap().clone())
}

/// Answers what comes first on each connection, and hangs up.
fn answer(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket: TcpStream = socket.unwrap();
            let mut hello = vec![0; 16 * 1024];
            let count = socket.read(&mut hello).unwrap_or_default();
            let _ = socket.write_all(&answer(&hello[..count]));
            let _ = socket.shutdown(std::net::Shutdown::Write);
            // No reset, which would take the answer away.
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    format!("tcp:{address}")
}

const fn alert(description: u8) -> [u8; 7] {
    [21, 3, 1, 0, 2, 2, description]
}

/// Whether a cipher suite is on its list: two bytes alone stand by chance in the keys of one hello of fifty.
fn offers(hello: &[u8], suite: u16) -> bool {
    ClientHello::all(hello).iter().any(|hello| hello.suites.contains(&suite))
}

fn has(hello: &[u8], bytes: &[u8]) -> bool {
    hello.windows(bytes.len()).any(|window| window == bytes)
}

/// A ServerHello without extensions.
fn server_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let mut hello = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, version[0], version[1]];
    hello.extend([7; 32]);
    hello.extend([0, suite[0], suite[1], 0]);
    hello
}

#[track_caller]
fn assert_refused(found: &(Outcome, Value), wants: &str) {
    let (outcome, report) = found;
    assert_eq!(report["verdict"], "refused", "{report:#}");
    assert_eq!(report["tls"]["state"], "refused", "{report:#}");
    assert_eq!(report["tls"]["wants"], wants, "{report:#}");
    assert!(report["hint"].is_string(), "{report:#}");
    assert_eq!(report["questions"]["close_notify"]["state"], "not_asked", "{report:#}");
    assert_eq!(outcome.status, Some(5), "{outcome:?}");
    assert!(outcome.stderr.starts_with("error: ") && outcome.stderr.lines().count() == 1, "{outcome:?}");
    let hint = report["hint"].as_str().unwrap();
    assert!(outcome.stderr.contains(hint), "{outcome:?}");
}

#[test]
fn a_client_certificate_that_is_demanded_is_said_and_the_version_is_offered_all_the_same() {
    let bench = Bench::new();
    let clients = Authority::new();
    for (versions, steps) in [
        (BOTH, "tls"),
        (&[Version::Tls12], "tls"),
        (&[Version::Tls13], "tls"),
        (BOTH, "starttls:imap"),
        (&[Version::Tls12], "starttls:imap"),
        (BOTH, "starttls:mysql"),
    ] {
        let protocol = steps.strip_prefix("starttls:").map(|name| name.parse::<KnownProtocol>().unwrap());
        let tls = TlsServer::builder(bench.authority.identity(NAME)).versions(versions);
        let tls = Arc::new(tls.require_client_certificates(clients.roots()).build().unwrap());
        let endpoint = bench.endpoint(&serve(move |conn| listen(conn, Arc::clone(&tls), protocol)), steps);

        let found = bench.probe(&endpoint, &[]);
        assert_refused(&found, "certificate");
        let (outcome, report) = &found;
        assert!(outcome.stderr.contains("--cert"), "{outcome:?}");
        assert_eq!(report["tls"]["client_certificate"], "required");
        for (version, field) in [(Version::Tls12, "tls1_2"), (Version::Tls13, "tls1_3")] {
            let state = if versions.contains(&version) { "offered" } else { "not_offered" };
            assert_eq!(report["tls"][field]["state"], state, "{report:#}");
        }
        assert_eq!(report["certificates"][0]["names"], serde_json::json!([NAME]), "{report:#}");
        assert_eq!(report["trust"]["state"], "trusted", "{report:#}");

        // One of a stranger is refused as well, and not for being missing.
        let found = bench.probe(&endpoint, &bench.client(&Authority::new(), "stranger"));
        assert_refused(&found, "certificate");
        assert!(found.0.stderr.contains("does not take the certificate of --cert"), "{found:?}");

        if steps != "tls" {
            continue;
        }
        let known = bench.client(&clients, "known");
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let (outcome, report) = bench.probe_in_haste(&endpoint, &known);
        assert_eq!(report["verdict"], "sound", "{report:#}");
        assert_eq!(report["tls"]["client_certificate"], "asked", "{report:#}");
        outcome.succeeded();
    }
}

#[test]
fn what_the_server_wants_is_told_by_its_alert() {
    let bench = Bench::new();
    for (description, wants) in
        [(112, "name"), (120, "alpn"), (70, "version"), (71, "cipher_suite"), (116, "certificate")]
    {
        let found = bench.probe(&bench.endpoint(&answer(move |_| alert(description).to_vec()), "tls"), &[]);
        assert_refused(&found, wants);
    }
    // One that says nothing about what is missing: TLS is there, and fails.
    for answers in [alert(80).to_vec(), alert(40).to_vec(), server_hello([3, 3], [0xc0, 0x2f])] {
        let (outcome, report) = bench.probe(&bench.endpoint(&answer(move |_| answers.clone()), "tls"), &[]);
        assert_eq!(report["verdict"], "failed", "{report:#}");
        assert_eq!(report["tls"]["state"], "failed", "{report:#}");
        outcome.failed(1);
    }
    // And what is no TLS at all.
    for answers in [&b""[..], b"220 hello\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (outcome, report) = bench.probe(&bench.endpoint(&answer(|_| answers.to_vec()), "tls"), &[]);
        assert_eq!(report["verdict"], "no_tls", "{report:#}");
        let class = if answers.is_empty() { "truncated" } else { "not_tls" };
        assert_eq!(report["class"], class, "{report:#}");
        outcome.failed(4);
    }
}

#[test]
fn tls_that_is_too_old_or_too_odd_is_found_by_offering_everything() {
    let bench = Bench::new();
    type Answer = fn(&[u8]) -> Vec<u8>;
    // A retry that asks for the group secp521r1 (RFC 8446 section 4.1.4).
    let retry: Answer = |hello| {
        if !has(hello, &[0, 51, 0, 2, 0, 0]) {
            return alert(40).to_vec();
        }
        let mut retry = vec![22, 3, 3, 0, 56, 2, 0, 0, 52, 3, 3];
        retry.extend([0xcf; 32]);
        retry.extend([0, 0x13, 1, 0, 0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 25]);
        retry
    };
    let old: Answer =
        |hello| if has(hello, &[3, 2, 3, 1]) { server_hello([3, 2], [0, 0x2f]) } else { alert(70).to_vec() };
    // One that never heard of supported_versions, and takes the lower of the two.
    let older: Answer = |_| server_hello([3, 1], [0xc0, 0x13]);
    let rsa: Answer = |hello| if offers(hello, 0x002f) { server_hello([3, 3], [0, 0x2f]) } else { alert(40).to_vec() };
    let finite: Answer =
        |hello| if offers(hello, 0x0039) { server_hello([3, 3], [0, 0x39]) } else { alert(40).to_vec() };
    let cbc: Answer =
        |hello| if offers(hello, 0xc013) { server_hello([3, 3], [0xc0, 0x13]) } else { alert(40).to_vec() };
    for (server, wants, says, tls1_2, tls1_3) in [
        (old, "version", "no more than TLS 1.1", "not_offered", "not_offered"),
        (older, "version", "no more than TLS 1.0", "not_offered", "not_offered"),
        (rsa, "key_exchange", "no forward secrecy", "offered", "not_offered"),
        (finite, "key_exchange", "finite field", "offered", "not_offered"),
        (cbc, "cipher_suite", "CBC", "offered", "not_offered"),
        (retry, "key_exchange", "secp521r1", "not_offered", "offered"),
    ] {
        let found = bench.probe(&bench.endpoint(&answer(server), "tls"), &[]);
        assert_refused(&found, wants);
        let report = &found.1;
        assert!(report["tls"]["detail"].as_str().unwrap().contains(says), "{report:#}");
        assert_eq!(report["tls"]["tls1_2"]["state"], tls1_2, "{report:#}");
        assert_eq!(report["tls"]["tls1_3"]["state"], tls1_3, "{report:#}");
    }
}

#[test]
fn a_server_that_hangs_up_right_behind_the_handshake_is_not_sound() {
    let bench = Bench::new();
    for versions in [&[Version::Tls12], &[Version::Tls13]] {
        let server = || Arc::new(bench.authority.server(NAME, versions));
        // As PostgreSQL 17 and 18 do without ALPN: close_notify and end, or no more than an end.
        let tls = server();
        let polite = serve(move |mut conn: Connection<Socket>| {
            let tls = Arc::clone(&tls);
            async move {
                conn.start_tls(tls.accept()?).await?;
                conn.close().await.map_err(|error| Error::of(&error).unwrap().clone())
            }
        });
        let tls = server();
        let rude = serve(move |mut conn: Connection<Socket>| {
            let tls = Arc::clone(&tls);
            async move { conn.start_tls(tls.accept()?).await.map(drop) }
        });
        for address in [polite, rude] {
            let (outcome, report) = bench.probe(&bench.endpoint(&address, "tls"), &[]);
            assert_eq!(report["verdict"], "refused", "{report:#}");
            assert_eq!(report["tls"]["state"], "hangs_up", "{report:#}");
            assert_eq!(report["tls"]["wants"], Value::Null, "{report:#}");
            assert_eq!(report["trust"]["state"], "trusted", "{report:#}");
            let line = outcome.failed(5);
            assert!(line.contains("alpn="), "{line}");
        }
        // One that waits for us, and one that greets and goes.
        let tls = server();
        let silent = serve(move |conn| listen(conn, Arc::clone(&tls), None));
        let tls = server();
        let greets = serve(move |mut conn: Connection<Socket>| {
            let tls = Arc::clone(&tls);
            async move {
                conn.start_tls(tls.accept()?).await?;
                conn.send_all(b"hello, and goodbye\r\n").await
            }
        });
        for address in [silent, greets] {
            let (outcome, report) = bench.probe_in_haste(&bench.endpoint(&address, "tls"), &[]);
            assert_eq!(report["verdict"], "sound", "{report:#}");
            outcome.succeeded();
        }
    }
}

#[test]
fn days_that_are_too_few_are_a_finding_of_their_own() {
    let bench = Bench::new();
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.not_after = (SystemTime::now() + Duration::from_secs(10 * 24 * 3600 + 3600)).into();
    let (chain, key) = bench.authority.issue(&params);
    let tls = Arc::new(TlsServer::new(Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()).unwrap());
    let endpoint = bench.endpoint(&serve(move |conn| listen(conn, Arc::clone(&tls), None)), "tls");
    for (options, verdict, status) in
        [(&[][..], "sound", 0), (&["--warn-days", "10"], "sound", 0), (&["--warn-days", "11"], "expiring", 7)]
    {
        let (outcome, report) = bench.probe_in_haste(&endpoint, options);
        assert_eq!(report["certificates"][0]["days_left"], 10, "{report:#}");
        assert_eq!(report["verdict"], verdict, "{report:#}");
        assert_eq!(outcome.status, Some(status), "{outcome:?}");
    }
    // A certificate that is not trusted is the graver thing.
    let stranger = bench.directory.write("stranger.pem", Authority::new().pem());
    let (outcome, _) = bench.probe_in_haste(&endpoint.replace(&bench.ca(), &stranger), &["--warn-days", "11"]);
    outcome.failed(6);
}

#[test]
fn every_exit_status_and_every_word_is_in_the_help() {
    let help = run(["probe", "--help"], "").succeeded().stdout;
    for status in 0..=7 {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{status}  "))), "{status} in {help}");
    }
    for word in [
        "sound",
        "hole",
        "untrusted",
        "no_tls",
        "refused",
        "failed",
        "expiring",
        "unknown",
        "certificate",
        "name",
        "version",
        "key_exchange",
        "cipher_suite",
        "key_length",
        "alpn",
        "client_certificate",
        "not_asked",
        "asked",
        "required",
        "replaces",
        "hint",
        "--warn-days",
        "--name",
        "--groups",
        "same_certificate",
        "hello_retry",
        "retry_for",
        "chosen_by",
        "preferred",
        "resolve_ms",
        "hops",
        "out_of_order",
        "repeated",
        "root_shown",
        "issuer_not_shown",
    ] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

/// One packet of MySQL.
async fn packet(conn: &mut Connection<Socket>) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    conn.read_exact(&mut header).await.ok()?;
    let mut payload = vec![0; usize::from(header[0]) | usize::from(header[1]) << 8];
    conn.read_exact(&mut payload).await.ok()?;
    Some((header[3], payload))
}

#[test]
fn mysql_is_left_by_a_log_in_that_is_turned_away_which_is_no_connect_error() {
    let bench = Bench::new();
    // Turned away at once, after another way to prove a password was asked for, and let in.
    for (switches, lets_in) in [(false, false), (true, false), (true, true)] {
        let tls = Arc::new(bench.authority.server(NAME, BOTH));
        let (sound, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&sound), Arc::clone(&all));
        let address = serve(move |mut conn: Connection<Socket>| {
            let (tls, sound, all) = (Arc::clone(&tls), Arc::clone(&counts.0), Arc::clone(&counts.1));
            async move {
                all.fetch_add(1, Ordering::SeqCst);
                conn.start_tls_as(&*KnownProtocol::Mysql.peer(NAME, None), tls.accept()?).await?;
                let Some((2, log_in)) = packet(&mut conn).await else { return Ok(()) };
                let flags = u32::from_le_bytes(log_in[..4].try_into().unwrap());
                // Protocol 4.1, TLS, and passwords of 4.1; a user that nobody has, and no password.
                let claims = 1 << 9 | 1 << 11 | 1 << 15;
                assert_eq!(flags & claims, claims);
                assert!(log_in[32..].starts_with(b"onion-probe\0\0"), "{log_in:?}");
                if switches {
                    conn.send_all(b"\x2c\0\0\x03\xfemysql_native_password\0aaaaaaaaaaaaaaaaaaaa\0").await?;
                    let Some((4, empty)) = packet(&mut conn).await else { return Ok(()) };
                    assert_eq!(empty, b"");
                }
                if lets_in {
                    conn.send_all(b"\x07\0\0\x05\0\0\0\x02\0\0\0").await?;
                    let quits = packet(&mut conn).await == Some((0, vec![1]));
                    sound.fetch_add(usize::from(quits), Ordering::SeqCst);
                } else {
                    conn.send_all(b"\x0b\0\0\x03\xff\x15\x04#28000no").await?;
                    sound.fetch_add(1, Ordering::SeqCst);
                }
                conn.close().await.map_err(|error| Error::of(&error).unwrap().clone())
            }
        });
        let (outcome, report) = bench.probe(&bench.endpoint(&address, "starttls:mysql"), &[]);
        assert_eq!(report["verdict"], "sound", "{report:#}");
        assert_eq!(report["connections"], 2);
        outcome.succeeded();
        assert_eq!((sound.load(Ordering::SeqCst), all.load(Ordering::SeqCst)), (2, 2), "switches: {switches}");
    }
}

/// A server of OpenSSL; killed when dropped.
pub(crate) struct Openssl(Child);

impl Openssl {
    /// `None`, with a word about it, where there is no OpenSSL.
    pub(crate) fn serve(test: &str, certificate: &str, key: &str, options: &[&str]) -> Option<(Self, String)> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &address, "-cert", certificate, "-key", key]).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "{error}");
                eprintln!("skipped: {test} needs openssl");
                return None;
            }
        };
        // It says ACCEPT when it listens.
        let mut said = Vec::new();
        let output = child.stdout.as_mut().unwrap();
        while !has(&said, b"ACCEPT") {
            let mut byte = [0];
            assert_eq!(output.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        Some((Self(child), format!("tcp:{address}")))
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn openssl_with_a_key_that_is_too_short_is_refused_for_that_and_its_certificate_is_shown() {
    let bench = Bench::new();
    let (certificate, key) = (bench.directory.file("weak.pem"), bench.directory.file("weak.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    if made.is_err() && std::env::var_os("CI").is_none() {
        return eprintln!("skipped: openssl_with_a_key_that_is_too_short needs openssl");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let options = [version, "-cipher", "ALL:@SECLEVEL=0"];
        let (_server, address) = Openssl::serve("a key that is too short", &certificate, &key, &options).unwrap();
        let endpoint = format!("{address}+tls:sni={NAME}:ca={certificate}");
        let found = bench.probe(&endpoint, &[]);
        assert_refused(&found, "key_length");
        let report = &found.1;
        assert_eq!(report["certificates"][0]["key"], "RSA 1024", "{report:#}");
        assert!(report["tls"]["version"].is_string(), "{report:#}");
    }
}

#[test]
fn openssl_of_old_is_refused_for_what_is_old_and_shown_with_its_certificate() {
    let bench = Bench::new();
    // Keys of RSA, since that is what the key exchange of old needs; made by OpenSSL where it is there.
    let (certificate, key) = (bench.directory.file("rsa.pem"), bench.directory.file("rsa.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    if made.is_err() && std::env::var_os("CI").is_none() {
        return eprintln!("skipped: openssl_of_old needs openssl");
    }
    let weak = "ALL:@SECLEVEL=0";
    for (options, wants, says) in [
        (&["-tls1_1", "-cipher", weak][..], "version", "TLS 1.1"),
        (&["-tls1", "-cipher", weak], "version", "TLS 1.0"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], "key_exchange", "no forward secrecy"),
        (&["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"], "key_exchange", "finite field"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"], "cipher_suite", "CBC"),
        (&["-tls1_3", "-curves", "X448"], "key_exchange", "X448"),
    ] {
        let (_server, address) = Openssl::serve("TLS of old", &certificate, &key, options).unwrap();
        let found = bench.probe(&format!("{address}+tls:sni={NAME}:ca={certificate}"), &[]);
        assert_refused(&found, wants);
        let report = &found.1;
        assert!(report["tls"]["detail"].as_str().unwrap().contains(says), "{report:#}");
        // Up to TLS 1.2 it is sent in clear.
        let is_shown = report["certificates"][0]["names"] == serde_json::json!([NAME]);
        assert_eq!(is_shown, !options.contains(&"-tls1_3"), "{report:#}");
    }
    // TLS 1.3 is fine, and TLS 1.2 is there, for others.
    let options = ["-cipher", "AES128-SHA"];
    let (_server, address) = Openssl::serve("two versions", &certificate, &key, &options).unwrap();
    let (_, report) = bench.probe_in_haste(&format!("{address}+tls:sni={NAME}:ca={certificate}"), &[]);
    assert_eq!(report["verdict"], "sound", "{report:#}");
    assert_eq!(report["tls"]["tls1_2"]["state"], "offered", "{report:#}");
    assert!(report["tls"]["tls1_2"]["detail"].as_str().unwrap().contains("no forward secrecy"), "{report:#}");
    // The control: nothing is wrong with the certificate.
    let (_server, address) = Openssl::serve("TLS of today", &certificate, &key, &[]).unwrap();
    let (_, report) = bench.probe_in_haste(&format!("{address}+tls:sni={NAME}:ca={certificate}"), &[]);
    assert_eq!(report["verdict"], "sound", "{report:#}");
}
