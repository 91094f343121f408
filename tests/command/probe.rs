//! `onion probe` finds each thing that a server can do wrong, and does not find it where it is done right.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use onionskin::starttls::KnownProtocol;
use onionskin::tls::Version;
use rcgen::{CertificateParams, date_time_ymd};
use serde_json::Value;

use crate::common::{Authority, BOTH};
use crate::onion::{Directory, Outcome, run};
use crate::open_server::{After, Behind, Hello, Inside, Manners, serve};

/// A server with its authority in a file.
struct Bench {
    authority: Authority,
    directory: Directory,
}

impl Bench {
    fn new() -> Self {
        let (authority, directory) = (Authority::new(), Directory::new());
        directory.write("ca.pem", authority.pem());
        Self { authority, directory }
    }

    fn serve(&self, protocol: &str, manners: Manners) -> String {
        self.serve_versions(protocol, manners, BOTH)
    }

    /// The endpoint of a server with these manners.
    fn serve_versions(&self, protocol: &str, manners: Manners, versions: &[Version]) -> String {
        let address = serve(protocol, manners, self.authority.server(NAME, versions));
        let ca = self.directory.file("ca.pem");
        format!("{address}+starttls:{protocol}:sni={NAME}:ca={ca}")
    }
}

fn probe(endpoint: &str) -> Outcome {
    run(["probe", endpoint, "--json"], "")
}

/// Where the server is to hang, and nobody wants to wait for long.
fn probe_hastily(endpoint: &str) -> Outcome {
    run(["probe", endpoint, "--json", "--timeout", "3"], "")
}

#[track_caller]
fn report(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

/// The answers to the four questions.
#[track_caller]
fn answers(report: &Value) -> [&str; 4] {
    ["glued_command", "glued_client_hello", "starttls_inside_tls", "close_notify"]
        .map(|question| report["questions"][question]["state"].as_str().unwrap())
}

const NAME: &str = "server.example";

/// The protocols that have a go-ahead, behind which there can be something.
fn protocols() -> impl Iterator<Item = &'static str> {
    KnownProtocol::ALL.iter().map(|(name, _)| *name).filter(|name| !["mysql", "tds"].contains(name))
}

#[test]
fn a_command_that_is_executed_inside_tls_is_found_in_every_protocol_and_one_that_is_dropped_is_not() {
    let bench = Bench::new();
    for protocol in protocols() {
        let dropping = Manners { behind: Behind::IsDropped, ..Manners::OPEN };
        let outcome = probe(&bench.serve(protocol, dropping)).succeeded();
        let found = report(&outcome);
        assert_eq!(answers(&found), ["dropped", "refused", "refused", "hangs_up"], "{protocol}: {found:#}");
        assert_eq!(found["verdict"], "sound");

        let outcome = probe(&bench.serve(protocol, Manners::OPEN));
        let found = report(&outcome);
        assert_eq!(answers(&found), ["executed", "refused", "refused", "hangs_up"], "{protocol}: {found:#}");
        assert_eq!(found["verdict"], "hole");
        assert_eq!(found["protocol"], protocol);
        let line = outcome.failed(3);
        assert!(line.contains(protocol) && line.contains("executed inside TLS"), "{line}");
    }
}

#[test]
fn our_own_servers_are_sound() {
    let bench = Bench::new();
    for protocol in protocols() {
        let outcome = probe(&bench.serve(protocol, Manners::HONEST)).succeeded();
        let found = report(&outcome);
        assert_eq!(answers(&found), ["fed_to_tls", "taken", "refused", "hangs_up"], "{protocol}: {found:#}");
        assert_eq!(found["verdict"], "sound");
        assert_eq!(found["connections"], 6, "{protocol}: {found:#}");
    }
}

#[test]
fn what_does_not_apply_is_not_asked() {
    let bench = Bench::new();
    for (protocol, versions, tls1_3, connections) in
        [("mysql", BOTH, "offered", 2), ("tds", &[Version::Tls12], "does_not_apply", 2)]
    {
        let outcome = probe(&bench.serve_versions(protocol, Manners::HONEST, versions)).succeeded();
        let found = report(&outcome);
        // MySQL counts every connection that is not used.
        let after_close_notify = if protocol == "mysql" { "does_not_apply" } else { "hangs_up" };
        assert_eq!(answers(&found)[..3], ["does_not_apply"; 3], "{found:#}");
        assert_eq!(answers(&found)[3], after_close_notify, "{found:#}");
        assert_eq!(found["tls"]["tls1_2"]["state"], "offered", "{found:#}");
        assert_eq!(found["tls"]["tls1_3"]["state"], tls1_3, "{found:#}");
        assert_eq!(found["connections"], connections, "{found:#}");
    }
}

#[test]
fn each_way_to_take_a_command_behind_the_request_has_its_name() {
    let bench = Bench::new();
    for (behind, state, status) in [
        (Behind::GoesIntoTls, "fed_to_tls", 0),
        (Behind::IsExecuted, "executed", 3),
        (Behind::IsDropped, "dropped", 0),
        (Behind::IsRefused, "refused", 0),
        (Behind::IsAnswered, "answered_in_clear", 0),
    ] {
        let outcome = probe(&bench.serve("smtp", Manners { behind, ..Manners::HONEST }));
        assert_eq!(answers(&report(&outcome))[0], state, "{outcome:?}");
        assert_eq!(outcome.status, Some(status), "{outcome:?}");
    }
}

#[test]
fn a_server_that_is_silent_inside_tls_is_not_called_sound() {
    let bench = Bench::new();
    let silent = Manners { behind: Behind::SilencesAll, ..Manners::HONEST };
    let outcome = probe_hastily(&bench.serve("smtp", silent));
    assert_eq!(report(&outcome)["verdict"], "unknown", "{outcome:?}");
    assert_eq!(answers(&report(&outcome))[0], "unknown");
    outcome.failed(1);
}

#[test]
fn each_way_to_take_a_client_hello_behind_the_request_has_its_name() {
    let bench = Bench::new();
    let reads_ahead = |hello| Manners { behind: Behind::IsDropped, hello, ..Manners::HONEST };
    for (manners, state) in [
        (Manners::HONEST, "taken"),
        (reads_ahead(Hello::IsRefused), "refused"),
        (reads_ahead(Hello::IsLost), "lost"),
        (reads_ahead(Hello::Hangs), "hangs"),
    ] {
        let outcome = probe_hastily(&bench.serve("imap", manners)).succeeded();
        assert_eq!(answers(&report(&outcome))[1], state, "{outcome:?}");
    }
}

#[test]
fn tls_inside_tls_and_what_follows_tls_have_names() {
    let bench = Bench::new();
    for (inside, after, states) in [
        (Inside::Nests, After::GoesOn, ["nests", "plaintext"]),
        (Inside::IsForgotten, After::IsSilent, ["agrees", "silent"]),
        (Inside::Replaces, After::HangsUp, ["replaces", "hangs_up"]),
        (Inside::IsRefused, After::HangsUp, ["refused", "hangs_up"]),
    ] {
        let outcome = probe_hastily(&bench.serve("smtp", Manners { inside, after, ..Manners::HONEST })).succeeded();
        assert_eq!(answers(&report(&outcome))[2..], states, "{outcome:?}");
    }
}

#[test]
fn tls_that_begins_anew_below_the_first_is_told_from_tls_inside_it_in_every_protocol() {
    let bench = Bench::new();
    for protocol in protocols() {
        for (inside, state) in [(Inside::Nests, "nests"), (Inside::Replaces, "replaces")] {
            let outcome =
                probe(&bench.serve(protocol, Manners { inside, behind: Behind::IsDropped, ..Manners::HONEST }));
            assert_eq!(answers(&report(&outcome))[2], state, "{protocol}: {outcome:?}");
            outcome.succeeded();
        }
    }
}

#[test]
fn everything_that_is_shown_of_tls_is_what_the_server_has() {
    let bench = Bench::new();
    let outcome = probe(&bench.serve("smtp", Manners::HONEST)).succeeded();
    let found = report(&outcome);
    assert_eq!(found["tls"]["state"], "offered");
    assert_eq!(found["tls"]["version"], "TLSv1.3");
    assert_eq!(found["tls"]["tls1_2"]["state"], "offered");
    assert_eq!(found["tls"]["tls1_3"]["state"], "offered");
    assert!(found["tls"]["cipher_suite"].as_str().unwrap().starts_with("TLS13_"), "{found:#}");
    assert!(found["tls"]["key_exchange_group"].is_string(), "{found:#}");
    assert_eq!(found["tls"]["alpn"], Value::Null);
    assert_eq!(found["trust"]["state"], "trusted");
    assert_eq!(found["trust"]["name"], NAME);
    let own = &found["certificates"][0];
    assert_eq!(own["names"], serde_json::json!([NAME]));
    assert!(own["issuer"].as_str().unwrap().starts_with("CN=authority"), "{found:#}");
    assert_eq!(own["validity"], "valid");
    assert!(own["days_left"].as_i64().unwrap() > 365, "{found:#}");

    let old = report(&probe(&bench.serve_versions("smtp", Manners::HONEST, &[Version::Tls12])).succeeded());
    assert_eq!((&old["tls"]["version"], &old["tls"]["tls1_3"]["state"]), (&"TLSv1.2".into(), &"not_offered".into()));
    let new = report(&probe(&bench.serve_versions("smtp", Manners::HONEST, &[Version::Tls13])).succeeded());
    assert_eq!((&new["tls"]["version"], &new["tls"]["tls1_2"]["state"]), (&"TLSv1.3".into(), &"not_offered".into()));
}

#[test]
fn a_certificate_that_is_not_trusted_is_shown_with_the_reason_and_the_questions_are_asked_all_the_same() {
    let bench = Bench::new();
    let endpoint = bench.serve("smtp", Manners::HONEST);
    let other_name = endpoint.replace(NAME, "other.example");
    let stranger = bench.directory.write("stranger.pem", Authority::new().pem());
    let unknown_issuer = endpoint.replace(&bench.directory.file("ca.pem"), &stranger);

    let dated = |from, to| {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let (chain, key) = bench.authority.issue(&params);
        let identity = onionskin::tls::Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let address = serve("smtp", Manners::HONEST, onionskin::tls::TlsServer::new(identity).unwrap());
        format!("{address}+starttls:smtp:sni={NAME}:ca={}", bench.directory.file("ca.pem"))
    };
    for (endpoint, state, validity) in [
        (other_name, "wrong_name", "valid"),
        (unknown_issuer, "unknown_issuer", "valid"),
        (dated(2001, 2002), "expired", "expired"),
        (dated(3001, 3002), "not_yet_valid", "not_yet_valid"),
    ] {
        let outcome = probe(&endpoint);
        let found = report(&outcome);
        assert_eq!(found["trust"]["state"], state, "{found:#}");
        assert_eq!(found["verdict"], "untrusted");
        let class = if state == "wrong_name" { "certificate_name".to_owned() } else { format!("certificate_{state}") };
        assert_eq!(found["class"], class, "{found:#}");
        assert!(found["retry"].as_str().unwrap().starts_with("not to be tried again"), "{found:#}");
        assert_eq!(found["certificates"][0]["sha256"].as_str().unwrap().len(), 64);
        assert!(found["certificates"][0]["serial"].is_string() && found["tls"]["handshake_ms"].is_f64(), "{found:#}");
        assert_eq!(found["certificates"][0]["validity"], validity);
        assert_eq!(found["connections"], 7);
        assert_eq!(answers(&found), ["fed_to_tls", "taken", "refused", "hangs_up"], "{found:#}");
        outcome.failed(6);
        let shown = run(["probe", &endpoint], "");
        assert!(shown.stdout.contains("NOT TRUSTED"), "{shown:?}");
    }
    let unchecked = endpoint.replace(&format!("ca={}", bench.directory.file("ca.pem")), "insecure=yes");
    let outcome = probe(&unchecked).succeeded();
    assert_eq!(report(&outcome)["trust"]["state"], "not_checked");
}

#[test]
fn a_hole_counts_for_more_than_a_certificate() {
    let bench = Bench::new();
    let endpoint = bench.serve("smtp", Manners::OPEN).replace(NAME, "other.example");
    let outcome = probe(&endpoint);
    assert_eq!(report(&outcome)["trust"]["state"], "wrong_name");
    assert_eq!(report(&outcome)["verdict"], "hole");
    outcome.failed(3);
}

#[test]
fn a_server_without_tls_is_told_from_one_that_cannot_be_reached() {
    for (says, state) in [
        (&["220 mail.example\r\n", "250 mail.example\r\n"][..], "not_offered"),
        (&["220 mail.example\r\n", "250-mail.example\r\n250 STARTTLS\r\n", "454 not today\r\n"], "refused"),
        (&["554 go away\r\n"], "refused"),
        (&[], "hangs"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp:{}+starttls:smtp:insecure=yes", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            for turn in says {
                socket.write_all(turn.as_bytes()).unwrap();
                let _ = socket.read(&mut [0; 512]);
            }
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let outcome = if says.is_empty() { probe_hastily(&endpoint) } else { probe(&endpoint) };
        let found = report(&outcome);
        assert_eq!(found["tls"]["state"], state, "{found:#}");
        assert_eq!(found["verdict"], "no_tls");
        assert_eq!(found["connections"], 1);
        assert_eq!(answers(&found), ["not_asked"; 4]);
        outcome.failed(4);
        server.join().unwrap();
    }
    // As for other commands: nobody listens at this port.
    let outcome = probe("tcp:127.0.0.1:1+starttls:smtp");
    assert_eq!(outcome.stdout, "");
    let line = outcome.failed(1);
    assert!(line.contains("listening"), "{line}");
}

#[test]
fn a_server_that_takes_no_more_connections_is_not_called_sound() {
    let bench = Bench::new();
    let endpoint = bench.serve("smtp", Manners::OPEN);
    let (address, step) = endpoint.strip_prefix("tcp:").unwrap().split_once('+').unwrap();
    let address = address.to_owned();
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let limited = format!("tcp:{}+{step}", door.local_addr().unwrap());
    let doorkeeper = thread::spawn(move || {
        // One for each version: nobody gets as far as the questions.
        for _ in 0..2 {
            let (client, server) = (door.accept().unwrap().0, TcpStream::connect(&address).unwrap());
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    let outcome = probe(&limited);
    assert_eq!(report(&outcome)["verdict"], "unknown", "{outcome:?}");
    assert_eq!(answers(&report(&outcome)), ["unknown"; 4]);
    outcome.failed(1);
    doorkeeper.join().unwrap();
    probe(&endpoint).failed(3);
}

#[test]
fn an_endpoint_without_starttls_is_asked_what_makes_sense() {
    let directory = Directory::new();
    let server = crate::onion::Server::self_signed(&directory);
    let inside = run(["probe", &format!("{}+tls", server.endpoint), "--ca", &directory.file("ca.pem")], "");
    // That server wants to be asked first.
    inside.failed(4);
    let endpoint = format!("{}+tls:ca={}", server.endpoint, directory.file("ca.pem"));
    drop(server);

    let listening = crate::onion::Server::start([
        "tcp:127.0.0.1:0+tls",
        "--cert",
        &directory.file("cert.pem"),
        "--key",
        &directory.file("key.pem"),
    ]);
    let transport = listening.endpoint.split('+').next().unwrap();
    let step = endpoint.split_once('+').unwrap().1;
    let outcome = probe(&format!("{transport}+{step}")).succeeded();
    let found = report(&outcome);
    assert_eq!(found["protocol"], Value::Null);
    assert_eq!(found["trust"]["state"], "trusted");
    assert_eq!(answers(&found)[..3], ["does_not_apply"; 3]);
    assert_ne!(answers(&found)[3], "does_not_apply", "{found:#}");
    assert_eq!(found["connections"], 3);
}

#[test]
fn what_cannot_be_meant_is_said_before_anybody_is_bothered() {
    for endpoint in
        ["tcp:127.0.0.1:1", "stdio+tls", "tcp:127.0.0.1:1+starttls:gopher", "tcp:127.0.0.1:1+tls:min=1.3:max=1.2"]
    {
        let outcome = run(["probe", endpoint], "");
        assert_eq!(outcome.stdout, "");
        outcome.failed(2);
    }
    assert_eq!(run(["probe", "tcp:127.0.0.1:1+tls", "--timeout", "0"], "").status, Some(2));
}

#[test]
fn the_screen_is_one_and_a_hole_stands_out() {
    let bench = Bench::new();
    let sound = run(["probe", &bench.serve("imap", Manners::HONEST)], "").succeeded();
    let hole = run(["probe", &bench.serve("imap", Manners::OPEN)], "");
    for outcome in [&sound, &hole] {
        assert!(outcome.lines().len() <= 40, "{outcome:?}");
        assert!(outcome.lines().iter().all(|line| !line.contains('\x1b')), "{outcome:?}");
    }
    assert!(!sound.stdout.contains("HOLE") && !sound.stdout.contains("EXECUTED"), "{}", sound.stdout);
    assert!(hole.stdout.contains("A HOLE") && hole.stdout.contains("EXECUTED INSIDE TLS"), "{}", hole.stdout);
}
