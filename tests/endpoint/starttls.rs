//! The step `starttls`, and protocols that begin behind it.

use std::sync::{Arc, Mutex};

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::endpoint::{Admitted, Connector, Endpoint, Listener, Server};
use onionskin::protocol::{Addresses, EndReason, Error, LayerId, Protocol, Result, Transport};
use onionskin::stack::LayerError;
use onionskin::starttls::{self, ErrorKind, KnownProtocol, Negotiate, Secured, Smtp};
use onionskin::tls::{OnFailure, TlsServer};

use crate::{Files, on_every_runtime, open, talk};

#[test]
fn every_protocol_from_both_sides() {
    let files = Files::new("starttls");
    for (name, _) in KnownProtocol::ALL {
        let server = format!("tcp:127.0.0.1:0+starttls:{name}:{}", files.identity("localhost"));
        on_every_runtime(async |runtime| {
            let step = |address: &str| format!("{address}+starttls:{name}:sni=localhost:{}", files.ca());
            let (client, server) = open(runtime, &server, step).await;
            talk(&mut client.unwrap(), &mut server.unwrap()).await;
        });
    }
}

#[test]
fn tls_is_required_unless_it_is_said_to_be_opportunistic() {
    let files = Files::new("required");
    let step = format!("tcp:127.0.0.1:0+starttls:imap:{}", files.identity("localhost"));
    for (step, opportunistic) in [(step.clone(), false), (format!("{step}:opportunistic=yes"), true)] {
        let step = &step;
        on_every_runtime(async move |runtime| {
            let listener = Listener::new(runtime, &step.parse().unwrap()).await.unwrap();
            let address = Endpoint::new(listener.endpoint().transport.clone());
            let client = async {
                let mut conn = Connector::new(runtime, &address).unwrap().connect().await.unwrap();
                assert!(conn.read_line().await.unwrap().unwrap().starts_with(b"* OK"));
                conn.write_line("1 LOGIN a b").await.unwrap();
                if !opportunistic {
                    let answer = conn.read_line().await.unwrap().unwrap();
                    assert!(answer.starts_with(b"1 NO [PRIVACYREQUIRED]"), "{}", answer.escape_ascii());
                }
            };
            let accept = async { listener.accept().await.unwrap().ready().await };
            let ((), server) = join(client, accept).await;
            if opportunistic {
                let mut server = server.unwrap();
                assert_eq!(server.layers().tls().count(), 0);
                assert_eq!(server.read_line().await.unwrap().unwrap(), b"1 LOGIN a b", "it is the application's");
            } else {
                let error = server.unwrap_err();
                let error = error.connection_error().unwrap();
                assert_eq!(starttls::Error::of(error).unwrap().kind(), ErrorKind::Closed, "{error}");
            }
        });
    }
}

/// Notes what it is told.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

impl Noted {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Mail(Noted);

impl Protocol for Mail {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.0.note(format!("made with {} layers", transport.layers().tls().count()));
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        let said = transport.take_all();
        self.0.note(String::from_utf8_lossy(&said));
        transport.write(b"heard\r\n")?;
        transport.close();
        Ok(())
    }

    fn layer_failed(&mut self, _: &mut Transport<'_>, _: LayerId, error: &LayerError) -> Result {
        self.0.note(format!("no TLS: {error}"));
        Ok(())
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        self.0.note(if reason.is_closed() { "closed".to_owned() } else { format!("lost: {reason}") });
    }
}

fn mail(noted: &Noted, server: &TlsServer, opportunistic: bool) -> Result<Secured<Mail>, Error> {
    let negotiate = Negotiate::new(Smtp::new(), server.accept().unwrap());
    let negotiate = if opportunistic { negotiate.opportunistic() } else { negotiate };
    Ok(Secured::new(Mail(noted.clone()), negotiate))
}

#[test]
fn a_protocol_behind_starttls_is_told_of_nothing_before() {
    let files = Files::new("secured");
    let tls = files.server("localhost");
    for (opportunistic, speaks_tls, expected) in [
        (false, true, vec!["made with 1 layers", "QUIT\r\n", "closed"]),
        (false, false, vec![]),
        (
            true,
            false,
            vec![
                "made with 0 layers",
                "no TLS: smtp: the client goes on without TLS: \"MAIL\"",
                "MAIL FROM:<a@a>\r\n",
                "closed",
            ],
        ),
    ] {
        let (tls, files) = (&tls, &files);
        let expected = &expected;
        on_every_runtime(async move |runtime| {
            let noted = Noted::default();
            let factory = {
                let (noted, tls) = (noted.clone(), tls.clone());
                move |_: &Addresses| mail(&noted, &tls, opportunistic).unwrap()
            };
            let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
            let server = Server::new(listener, factory);
            let address = server.endpoint().to_string();
            let step = if speaks_tls { format!("+starttls:smtp:sni=localhost:{}", files.ca()) } else { String::new() };
            let endpoint = format!("{address}{step}").parse().unwrap();
            let mut conn = Connector::new(runtime, &endpoint).unwrap().connect().await.unwrap();
            if speaks_tls {
                conn.write_line("QUIT").await.unwrap();
                assert_eq!(conn.read_line().await.unwrap().unwrap(), b"heard");
            } else {
                assert!(conn.read_line().await.unwrap().unwrap().starts_with(b"220"));
                conn.write_line("MAIL FROM:<a@a>").await.unwrap();
                let answer = conn.read_line().await.unwrap().unwrap();
                assert!(answer.starts_with(if opportunistic { b"heard" } else { b"530 5" }), "{answer:?}");
            }
            drop(conn);
            server.stop(std::time::Duration::from_secs(10)).await;
            assert_eq!(&noted.taken(), expected);
        });
    }
}

#[test]
fn a_handshake_that_fails_is_no_leave_for_a_protocol_behind_starttls_to_begin_in_clear() {
    let files = Files::new("peeled");
    let tls = files.server("localhost");
    for opportunistic in [false, true] {
        let tls = &tls;
        on_every_runtime(async move |runtime| {
            let noted = Noted::default();
            let factory = {
                let (noted, tls) = (noted.clone(), tls.clone());
                move |_: &Addresses| {
                    let negotiate = Negotiate::new(Smtp::new(), tls.accept().unwrap().on_failure(OnFailure::Peel));
                    let negotiate = if opportunistic { negotiate.opportunistic() } else { negotiate };
                    Secured::new(Mail(noted.clone()), negotiate)
                }
            };
            let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
            let server = Server::new(listener, factory);
            let address = server.endpoint().to_string().parse().unwrap();
            let mut conn = Connector::new(runtime, &address).unwrap().connect().await.unwrap();
            for (answer, line) in [("220", "STARTTLS"), ("220", "MAIL FROM:<a@a>")] {
                let said = conn.read_line().await.unwrap().unwrap();
                assert!(said.starts_with(answer.as_bytes()), "{}", said.escape_ascii());
                conn.write_line(line).await.unwrap();
            }
            while let Ok(Some(_)) = conn.read_line().await {}
            drop(conn);
            server.stop(std::time::Duration::from_secs(10)).await;
            assert_eq!(noted.taken(), Vec::<String>::new());
        });
    }
}

#[test]
fn a_client_of_mail_says_a_name_that_strict_servers_take() {
    let own = starttls::own_name("127.0.0.1".parse().ok());
    assert!(own.contains('.'), "{own}");
    let hellos = [
        ("smtp", format!("EHLO {own}")),
        ("lmtp", format!("LHLO {own}")),
        ("smtp:name=a.example", "EHLO a.example".to_owned()),
    ];
    for (step, hello) in &hellos {
        on_every_runtime(async move |runtime| {
            let listener = Listener::new(runtime, &"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
            let endpoint = format!("{}+starttls:{step}:insecure=yes:sni=localhost", listener.endpoint());
            let connector = Connector::new(runtime, &endpoint.parse().unwrap()).unwrap();
            let server = async {
                let mut conn = listener.accept().await.unwrap().ready().await.unwrap();
                conn.write_line("220 mail.example").await.unwrap();
                let said = conn.read_line().await.unwrap().unwrap();
                conn.write_line("504 5.5.2 need fully-qualified hostname").await.unwrap();
                let _ = conn.read_line().await;
                said
            };
            let (refused, said) = join(connector.connect(), server).await;
            assert_eq!(String::from_utf8_lossy(&said), *hello);
            let error = refused.unwrap_err();
            let refusal = starttls::Error::of(error.connection_error().unwrap()).unwrap();
            assert!(refusal.is_hello_refused() && refusal.to_string().contains(hello), "{refusal}");
        });
    }
}

#[test]
fn the_port_of_postgresql_serves_sessions_and_those_who_cancel_them() {
    let files = Files::new("postgres");
    let server = format!("tcp:127.0.0.1:0+starttls:postgres:{}", files.identity("localhost"));
    let (server, files) = (&server, &files);
    let cancel = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02";
    on_every_runtime(async move |runtime| {
        let listener = Listener::new(runtime, &server.parse().unwrap()).await.unwrap();
        let connect = async |steps: &str| {
            let endpoint = format!("{}{steps}", Endpoint::new(listener.endpoint().transport.clone()));
            Connector::new(runtime, &endpoint.parse().unwrap()).unwrap().connect().await
        };
        for steps in ["+starttls:postgres:sni=localhost:", "+tls:sni=localhost:alpn=postgresql:"] {
            let steps = format!("{steps}{}", files.ca());
            let accept = async { listener.accept().await.unwrap().admit().await };
            let (client, admitted) = join(connect(&steps), accept).await;
            let Admitted::Session(mut server) = admitted.unwrap() else { panic!("{steps} is no cancel") };
            talk(&mut client.unwrap(), &mut server).await;
        }

        // Without the name of the protocol nobody is let in.
        let steps = format!("+tls:sni=localhost:{}", files.ca());
        let accept = async { listener.accept().await.unwrap().admit().await };
        let (client, admitted) = join(connect(&steps), accept).await;
        assert!(admitted.unwrap_err().to_string().contains("ALPN"));
        client.unwrap_err();

        for is_served in [true, false] {
            let mut client = connect("").await.unwrap();
            client.send_all(cancel).await.unwrap();
            let incoming = listener.accept().await.unwrap();
            if is_served {
                let Admitted::Cancel(mut server) = incoming.admit().await.unwrap() else { panic!("it is a cancel") };
                let mut request = [0; 16];
                server.read_exact(&mut request).await.unwrap();
                assert_eq!(&request, cancel);
                server.close().await.unwrap();
            } else {
                let error = incoming.ready().await.unwrap_err();
                let negotiation = starttls::Error::of(error.connection_error().unwrap()).unwrap();
                assert_eq!(negotiation.kind(), ErrorKind::Cancel);
            }
            let mut rest = Vec::new();
            let end = client.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "nothing is answered: {end:?}");
        }
    });
}
