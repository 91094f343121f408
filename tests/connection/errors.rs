//! What every error of this crate prints: one sentence that says all of it, and as `Debug`, which is what `?` in `main`
//! prints, the sentence and what is behind it.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use onionskin::stack::{CommandError, CommandErrorKind, LayerError, LayerErrorKind, Reason};
use onionskin::streams::policy::{Destinations, Place, Policy, PolicyError, Template, Via};
use onionskin::testing::Cut;
use onionskin::tls::{CertificateFault, ConfigError, Roots};
use onionskin::{Connection, connection, endpoint, pool, protocol, proxy, route, rustls, starttls, streams, tunnel};

use crate::common::{Authority, BOTH};
use crate::executor::{alone, both};
use crate::peers::{NAME, VERSIONS, client, pair, server};

/// An error of each public type, with everything that it can be made of.
fn errors() -> Vec<(&'static str, Box<dyn StdError>)> {
    let mut errors: Vec<(&'static str, Box<dyn StdError>)> = Vec::new();
    let mut add = |name, error: Box<dyn StdError>| errors.push((name, error));
    let config = || -> ConfigError { Roots::from_pem(b"").unwrap_err() };
    let damaged = "-----BEGIN CERTIFICATE-----\nMAUCAQAwAA==\n-----END CERTIFICATE-----\n";
    add("ConfigError", Box::new(config()));
    add("ConfigError", Box::new(Roots::from_pem(damaged.as_bytes()).unwrap_err()));
    add("ConfigError", Box::new(Roots::from_pem_file("no/such/file").unwrap_err()));
    add("CertificateFault", Box::new(CertificateFault::UnknownIssuer));
    let unknown = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let layer = || LayerError::new(LayerErrorKind::Certificate, "it is not to be trusted").caused_by(unknown());
    add("LayerError", Box::new(layer()));
    for reason in [by_a_handshake(), by_the_socket(), by_a_negotiation(), by_two_layers(), by_one_below()] {
        let lost = || CommandError::from(CommandErrorKind::Lost(reason.clone()));
        add("Reason", Box::new(reason.clone()));
        add("CommandError", Box::new(lost()));
        add("Error", Box::new(connection::Error::from(lost())));
        add("OpenError", Box::new(endpoint::OpenError::from(connection::Error::from(lost()))));
        add("RouteError", Box::new(route::RouteError::from(connection::Error::from(lost()))));
        add("Error", Box::new(protocol::Error::from(lost())));
        add("EndReason", Box::new(protocol::EndReason::from(protocol::EndReasonKind::Lost(reason.clone()))));
        let failed = protocol::EndReasonKind::Failed(lost().into());
        add("EndReason", Box::new(protocol::EndReason::from(failed)));
        add("Error", Box::new(starttls::ftp::Error::from(connection::Error::from(lost()))));
        let id = reason.layers().first().map(|loss| loss.layer);
        if let Some(id) = id {
            add("CommandError", Box::new(CommandError::from(CommandErrorKind::Refused(id, layer()))));
            add("Error", Box::new(connection::Error::from(connection::ErrorKind::Peeled(id, layer()))));
            add("Error", Box::new(connection::Error::from(connection::ErrorKind::OtherFacts(id, "tls"))));
        }
        add("Error", Box::new(io::Error::from(connection::Error::from(lost()))));
    }
    add("Error", Box::new(connection::Error::from(config())));
    add("Error", Box::new(connection::Error::from(connection::ErrorKind::LineTooLong(7))));
    add("Error", Box::new(protocol::Error::from("in words of one's own")));
    add("Error", Box::new(protocol::Error::from(io::Error::other("in words of one's own"))));
    add("Error", Box::new(protocol::Error::from(io::Error::other(layer()))));
    add("Error", Box::new(protocol::Error::from(String::from_utf8(vec![b'a', 0xff]).unwrap_err().utf8_error())));
    add("Error", Box::new(protocol::Error::from(layer())));
    add("Error", Box::new(protocol::Error::from(config())));
    add("Error", Box::new(starttls::Error::new(starttls::ErrorKind::Refused, "it refused")));
    add("Error", Box::new(starttls::ftp::Error::from(starttls::ftp::ErrorKind::InClear)));
    add("UnknownName", Box::new("P-256".parse::<onionskin::tls::Group>().unwrap_err()));
    add("UnknownProtocol", Box::new("gopher".parse::<starttls::KnownProtocol>().unwrap_err()));
    add("AddressError", Box::new("nowhere".parse::<onionskin::runtime::Address>().unwrap_err()));
    add("RouteError", Box::new(route::RouteError::from(route::RouteErrorKind::NoName)));
    add("RouteError", Box::new(route::RouteError::from(config())));
    add("HandleError", Box::new(protocol::HandleError::Full));
    add("ParseError", Box::new("tpc:localhost:25".parse::<endpoint::Endpoint>().unwrap_err()));
    let parse = "tpc:localhost:25".parse::<endpoint::Endpoint>().unwrap_err();
    add("OpenError", Box::new(endpoint::OpenError::from(parse)));
    add("OpenError", Box::new(endpoint::OpenError::from(config())));
    add("CredentialsError", Box::new(tunnel::Credentials::new("a:b", "c").unwrap_err()));
    add("CredentialsError", Box::new(tunnel::Credentials::from_file("a", Path::new("no/such/file")).unwrap_err()));
    let target = onionskin::runtime::Address::to_host("mail.example", 993).unwrap();
    for kind in [tunnel::ErrorKind::AuthRejected, tunnel::ErrorKind::NotSpoken(b"220 ready".to_vec())] {
        let error = || tunnel::Error::new(tunnel::TunnelProtocol::Socks5, Some(target.clone()), kind.clone());
        add("Error", Box::new(error()));
        add("LayerError", Box::new(LayerError::from(error().by(Some(target.clone())))));
    }
    let from_env = endpoint::proxy_from_env(&"tcp:a.example:25".parse().unwrap(), |name| {
        (name == "all_proxy").then(|| "gopher://a.example".to_owned())
    });
    add("ProxyVariableError", Box::new(from_env.unwrap_err()));
    add("PoolError", Box::new(pool::PoolError::from(endpoint::OpenError::from(config()))));
    add("PoolError", Box::new(pool::PoolError::from(pool::PoolErrorKind::TooManyWaiting(3))));
    add("RuleError", Box::new("a b".parse::<proxy::Rule>().unwrap_err()));
    add("RulesError", Box::new(proxy::Rules::parse("allow").unwrap_err()));
    add("RulesError", Box::new(proxy::Rules::from_file(Path::new("no/such/file")).unwrap_err()));
    let template = Template::parse("${", Place::Url);
    add("TemplateError", Box::new(template.unwrap_err()));
    let template = Template::parse("${name}", Place::Host).unwrap();
    add("FillError", Box::new(template.fill(|_| Some("a/b")).unwrap_err()));
    add("FillError", Box::new(template.fill(|_| None).unwrap_err()));
    add("WayError", Box::new("tcp:".parse::<Via>().unwrap_err()));
    add("PolicyError", Box::new(Policy::read("{").unwrap_err()));
    add("PolicyError", Box::new(Policy::read(r#"{ "s": { "a": {}, "b": {} } }"#).unwrap_err()));
    add("PolicyError", Box::new(Policy::read_file("no/such/file").unwrap_err()));
    let (ws, time) = (streams::policy::Protocol::Ws, std::time::Duration::from_secs(1));
    for kind in [
        streams::ErrorKind::Policy(Destinations::new(Policy::default()).client("a", |_| None).unwrap_err()),
        streams::ErrorKind::Lost(connection::Error::from(connection::ErrorKind::LineTooLong(7))),
        streams::ErrorKind::Ended,
        streams::ErrorKind::Broken { protocol: ws, how: "two\nlines".to_owned() },
        streams::ErrorKind::Refused { protocol: ws, said: "two\nlines".to_owned() },
        streams::ErrorKind::Status(503),
        streams::ErrorKind::Silent(time),
        streams::ErrorKind::OutOfTime(time),
        streams::ErrorKind::Dropped,
        streams::ErrorKind::Closed,
        streams::ErrorKind::Unsupported("servers".to_owned()),
    ] {
        add("Error", Box::new(streams::Error::from(kind)));
    }
    add("DestinationError", Box::new(Destinations::new(Policy::default()).client("a", |_| None).unwrap_err()));
    let tcp = "tcp:localhost:25".parse::<endpoint::Endpoint>().unwrap().transport;
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    add("OpenError", Box::new(endpoint::OpenError::from(endpoint::OpenErrorKind::Connect(tcp, refused.into()))));
    errors
}

/// A handshake that the certificate fails.
fn by_a_handshake() -> Reason {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 100_000);
    let stranger = Authority::new().client(BOTH).to(NAME).unwrap();
    let (error, _) = both(async { left.start_tls(stranger).await.unwrap_err() }, right.start_tls(server()));
    error.reason().expect("the connection is lost").clone()
}

/// A socket that fails.
fn by_the_socket() -> Reason {
    let (mut left, _right, _clock) = pair(Cut::Whole, 100_000);
    left.get_ref().fail(io::ErrorKind::ConnectionReset);
    alone(left.read_line()).unwrap_err().reason().expect("the connection is lost").clone()
}

/// A server without TLS.
fn by_a_negotiation() -> Reason {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 100_000);
    let answers = async {
        right.write_line("220 ready").await.unwrap();
        right.read_line().await.unwrap();
        right.write_line("250 no TLS here").await.unwrap();
    };
    let asks = async { left.start_tls_as(starttls::Smtp::new(), client(VERSIONS[1])).await.unwrap_err() };
    let (error, ()) = both(asks, answers);
    error.reason().expect("the connection is lost").clone()
}

/// A peer that leaves without a close_notify in two layers.
fn by_two_layers() -> Reason {
    let (mut left, mut right, _clock) = pair(Cut::Whole, 100_000);
    let asks = async {
        left.start_tls(client(VERSIONS[1])).await.unwrap();
        left.start_tls(client(VERSIONS[1])).await.unwrap();
    };
    let answers = async {
        right.start_tls(server()).await.unwrap();
        right.start_tls(server()).await.unwrap();
    };
    both(asks, answers);
    drop(right);
    let reason = alone(left.read_line()).unwrap_err().reason().expect("the connection is lost").clone();
    assert_eq!(reason.layers().len(), 2, "{reason}");
    reason
}

/// A certificate that fails in a connection which another one runs over.
fn by_one_below() -> Reason {
    let (mut left, mut right, clock) = pair(Cut::Whole, 100_000);
    let stranger = Authority::new().client(BOTH).to(NAME).unwrap();
    left.splice(stranger).unwrap();
    right.splice(server()).unwrap();
    let connect = |io| Connection::with_timer(io, Arc::new(clock.clone())).named("tunnel 2");
    let (mut left, mut right) = (connect(left.named("tcp carrier.test:443")), connect(right));
    let (error, _) = both(async { left.start_tls(client(VERSIONS[1])).await.unwrap_err() }, right.start_tls(server()));
    let reason = error.reason().expect("the connection is lost").clone();
    assert!(reason.is_certificate() && reason.below().is_some_and(Reason::is_certificate), "{reason}");
    let shown = reason.to_string();
    assert!(shown.starts_with("tcp carrier.test:443: layer #1 (tls"), "{shown}");
    assert!(shown.contains("; with it tunnel 2: layer #1 (tls"), "{shown}");
    reason
}

fn chain(error: &dyn StdError) -> Vec<String> {
    let (mut causes, mut next) = (Vec::new(), error.source());
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

#[test]
fn every_error_is_a_sentence_and_nothing_of_its_chain_is_in_it() {
    let mut chains = 0;
    for (name, error) in errors() {
        let sentence = error.to_string();
        assert_eq!(sentence.lines().count(), 1, "{name}: {sentence:?}");
        for word in ["Error", "Kind", " {", "Some("] {
            assert!(!sentence.contains(word), "{name}: {sentence:?}");
        }
        let mut said = sentence.clone();
        for cause in chain(error.as_ref()) {
            assert!(!said.contains(&cause), "{name} says twice: {cause:?} in {said:?}");
            said = cause;
            chains += 1;
        }
    }
    assert!(chains > 10, "the chains were looked at");
}

#[test]
fn debug_is_the_sentence_and_the_chain() {
    for (name, error) in errors() {
        // That of the standard library around it.
        if error.is::<io::Error>() {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).expect("it has one of ours");
            assert!(format!("{error:?}").contains(&format!("{inner:?}")), "{name}");
            continue;
        }
        let shown = format!("{error:?}");
        let mut lines = shown.lines();
        assert_eq!(lines.next(), Some(error.to_string().as_str()), "{name}");
        if name == "ParseError" {
            assert_eq!(shown, format!("{error}\n  tpc:localhost:25\n  ^"));
            continue;
        }
        if let Some(policy) = error.downcast_ref::<PolicyError>() {
            let others = policy.mistakes().iter().skip(1).map(|mistake| format!("  {mistake}"));
            assert_eq!(lines.collect::<Vec<_>>(), others.collect::<Vec<_>>());
            continue;
        }
        let causes: Vec<_> = chain(error.as_ref()).iter().map(|cause| format!("  caused by: {cause}")).collect();
        assert_eq!(lines.collect::<Vec<_>>(), causes, "{name}");
    }
}

#[test]
fn what_a_program_asks_an_error_for_is_still_there() {
    let reason = by_a_negotiation();
    let error = connection::Error::from(CommandError::from(CommandErrorKind::Lost(reason.clone())));
    let wrapped: [Box<dyn StdError>; 5] = [
        Box::new(reason.clone()),
        Box::new(error.clone()),
        Box::new(endpoint::OpenError::from(error.clone())),
        Box::new(protocol::Error::from(reason.layer_error().unwrap().clone())),
        Box::new(io::Error::from(error)),
    ];
    for error in &wrapped {
        let found = starttls::Error::of(error.as_ref()).expect("the negotiation is found");
        assert_eq!(found.kind(), starttls::ErrorKind::NotOffered);
    }
    let error = protocol::Error::from(reason.layer_error().unwrap().clone());
    assert!(error.cause::<LayerError>().is_some_and(LayerError::is_refused));
    let error = connection::Error::from(CommandError::from(CommandErrorKind::Lost(by_a_handshake())));
    assert_eq!(error.tls_error().and_then(CertificateFault::of), Some(CertificateFault::UnknownIssuer));
}

/// So that an error that is new is in the list above, and keeps to the rule.
#[test]
fn the_list_has_every_error_that_the_crate_has() {
    // Those that are private, or can be had only from inside: they have tests of their own.
    const OTHERS: [&str; 9] = [
        "AlreadyInstalled",
        "BridgeError",
        "ConnectError",
        "Found",
        "HopError",
        "Inside",
        "ProducerError",
        "Said",
        "Unreached",
    ];
    let mut in_source = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend((path.file_name().unwrap() != "bin").then_some(path));
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines() {
                let line = line.trim_start();
                let name =
                    line.strip_prefix("impl").and_then(|line| line.split_once("Error for ")).map(|(_, name)| name);
                let name = name.filter(|_| {
                    line.contains("StdError for")
                        || line.contains("impl Error for")
                        || line.contains("error::Error for")
                });
                in_source.extend(name.map(|name| name.trim_end_matches(['{', '}', ' ']).to_owned()));
            }
        }
    }
    let listed: BTreeSet<_> = errors().into_iter().map(|(name, _)| name).chain(OTHERS).map(str::to_owned).collect();
    assert_eq!(in_source, listed);
}
