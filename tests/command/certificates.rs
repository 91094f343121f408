//! `onion cert`, and the certificates that people make with other tools.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::onion::{Directory, Server, run};

const FILES: [&str; 4] = ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"];

fn serve(directory: &Directory, cert: &str, key: &str) -> Server {
    Server::start(["tcp:127.0.0.1:0+tls", "--cert", &directory.file(cert), "--key", &directory.file(key)])
}

/// One line said and answered inside TLS.
fn talks(server: &Server, name: &str, ca: &str) {
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    let endpoint = format!("{}+tls:sni={name}", server.endpoint.split('+').next().unwrap());
    let outcome = run(["connect", &endpoint, "--ca", ca, "--lockstep"], "DEPTH\n").succeeded();
    assert_eq!(outcome.lines(), ["DEPTH 1 TLSv1.3"], "{name}");
}

fn refused(server: &Server, name: &str, ca: &str) -> String {
    let endpoint = format!("{}+tls:sni={name}", server.endpoint.split('+').next().unwrap());
    run(["connect", &endpoint, "--ca", ca, "--lockstep"], "DEPTH\n").failed(1)
}

#[test]
fn what_cert_makes_serves_and_is_trusted() {
    let directory = Directory::new();
    let outcome = run(["cert", &directory.text()], "").succeeded();
    assert!(outcome.lines()[0].contains("--cert") && outcome.lines()[1].contains("--ca"), "{:?}", outcome.lines());
    let server = serve(&directory, "cert.pem", "key.pem");
    for name in ["localhost", "127.0.0.1", "::1"] {
        talks(&server, name, &directory.file("ca.pem"));
    }
    let error = refused(&server, "elsewhere.example", &directory.file("ca.pem"));
    assert!(
        error.contains("it does not stand for \"elsewhere.example\", only for localhost, 127.0.0.1 and"),
        "{error}"
    );
}

#[test]
fn cert_takes_names_of_hosts_and_addresses() {
    let directory = Directory::new();
    run(["cert", &directory.text(), "mail.example", "*.wild.example", "192.0.2.7", "2001:db8::1", "--days", "3"], "")
        .succeeded();
    let server = serve(&directory, "cert.pem", "key.pem");
    for name in ["mail.example", "a.wild.example", "192.0.2.7", "2001:db8::1"] {
        talks(&server, name, &directory.file("ca.pem"));
    }
    refused(&server, "localhost", &directory.file("ca.pem"));
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_keys() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    run(["cert", &directory.text()], "").succeeded();
    let mode = |file: &str| fs::metadata(directory.file(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["ca-key.pem", "key.pem"].map(mode), [0o600, 0o600]);
    // Whatever the umask takes away, nobody else writes them.
    assert_eq!(["ca.pem", "cert.pem"].map(|file| mode(file) & !0o044), [0o600, 0o600]);
}

#[test]
fn cert_overwrites_nothing_and_leaves_nothing_half_done() {
    for taken in FILES {
        let directory = Directory::new();
        directory.write(taken, "mine");
        let error = run(["cert", &directory.text()], "").failed(1);
        assert!(error.contains(taken) && error.contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(directory.file(taken)).unwrap(), "mine");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
    let directory = Directory::new();
    let under_a_file = directory.write("file", "");
    let error = run(["cert", &format!("{under_a_file}/certs")], "").failed(1);
    assert!(error.contains("cannot write"), "{error}");
}

#[test]
fn cert_refuses_names_that_nobody_can_ask_for() {
    let directory = Directory::new();
    for name in ["", "two words", "a..b", "-", "*.192.0.2.7", "mail.example:443", "[::1]", "\u{1b}[2J"] {
        let error = run(["cert", &directory.text(), "--", "good.example", name], "").failed(2);
        assert!(error.contains("is neither a DNS name nor an IP address"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Other people's programs take them as well.
#[test]
fn openssl_takes_what_cert_makes_and_is_taken() {
    let Some(openssl) = Openssl::find() else { return };
    let directory = Directory::new();
    run(["cert", &directory.text(), "localhost"], "").succeeded();
    let (ca, cert, key) = (directory.file("ca.pem"), directory.file("cert.pem"), directory.file("key.pem"));
    openssl.must([
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        &ca,
        "-verify_hostname",
        "localhost",
        &cert,
    ]);
    openssl.must(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", &ca, &cert]);
    // The key of the authority is its own, and issues more.
    let (request, more) = (directory.file("more.csr"), directory.file("more.pem"));
    openssl.must([
        "req",
        "-new",
        "-key",
        &key,
        "-subj",
        "/CN=more",
        "-addext",
        "subjectAltName=DNS:more.example",
        "-out",
        &request,
    ]);
    openssl.must([
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &directory.file("ca-key.pem"),
        "-CAcreateserial",
        "-copy_extensions",
        "copy",
        "-out",
        &more,
    ]);
    talks(&serve(&directory, "more.pem", "key.pem"), "more.example", &ca);
    // We serve, and it connects.
    let server = serve(&directory, "cert.pem", "key.pem");
    let address = server.endpoint.strip_prefix("tcp:").unwrap().split('+').next().unwrap();
    let mut client = openssl.command([
        "s_client",
        "-connect",
        address,
        "-CAfile",
        &ca,
        "-verify_hostname",
        "localhost",
        "-verify_return_error",
        "-quiet",
    ]);
    let client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut client = Running(client, address.to_owned());
    client.0.stdin.take().unwrap().write_all(b"DEPTH\nQUIT\n").unwrap();
    let mut answer = String::new();
    BufReader::new(client.0.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    assert_eq!(answer.trim_end(), "DEPTH 1 TLSv1.3");
    // It serves, and we connect.
    let theirs = Running::server(&openssl, &cert, &key);
    let outcome = run(["connect", "--raw", &format!("tcp:{}+tls:sni=localhost", theirs.1), "--ca", &ca], "");
    outcome.succeeded();
}

/// The certificate that everybody makes first is its own authority.
#[test]
fn the_certificate_of_openssl_req_is_its_own_authority_and_is_accepted() {
    let Some(openssl) = Openssl::find() else { return };
    let directory = Directory::new();
    let (cert, key) = (directory.file("own.pem"), directory.file("own.key"));
    openssl.must([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &key,
        "-out",
        &cert,
        "-days",
        "30",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]);
    let server = serve(&directory, "own.pem", "own.key");
    talks(&server, "localhost", &cert);
    let error = refused(&server, "elsewhere.example", &cert);
    assert!(error.contains("it does not stand for \"elsewhere.example\""), "{error}");
    // Who has not named it is told what to do.
    run(["cert", &directory.text()], "").succeeded();
    let error = refused(&server, "localhost", &directory.file("ca.pem"));
    for part in ["CA:TRUE", "trust this very certificate", "name it with --ca", "`onion cert` makes better ones"] {
        assert!(error.contains(part), "{error}");
    }
}

/// The program, if it is there.
struct Openssl;

impl Openssl {
    fn find() -> Option<Self> {
        let found = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
        assert!(found || std::env::var_os("CI").is_none(), "openssl is not installed");
        if !found {
            eprintln!("skipped: openssl is not installed");
        }
        found.then_some(Self)
    }

    fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn must<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let output =
            self.command(arguments.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
    }
}

/// A process that ends with its test, and where it listens.
struct Running(Child, String);

impl Running {
    fn server(openssl: &Openssl, cert: &str, key: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child =
            openssl.command(["s_server", "-accept", &address, "-quiet", "-cert", cert, "-key", key]).spawn().unwrap();
        while TcpStream::connect(&address).is_err() {
            std::thread::yield_now();
        }
        Self(child, address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
