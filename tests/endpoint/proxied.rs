//! The step `proxy-header`: who the client really is, before anything else.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join;
use futures::io::AsyncWriteExt;
use onionskin::connection::Error;
use onionskin::endpoint::{Connector, Listener, Server};
use onionskin::layer::proxy_header::{Command, HeaderVersion, ProxyHeader, TlvKind};
use onionskin::protocol::{Addresses, LimitConnections, Protocol, Result, Transport};
use onionskin::runtime::{Address, Runtime};

use crate::{Files, on_every_runtime, talk};

async fn listen(runtime: &'static dyn Runtime, steps: &str) -> (Listener, String) {
    let listener = Listener::new(runtime, &format!("tcp:127.0.0.1:0{steps}").parse().unwrap()).await.unwrap();
    let transport = listener.endpoint().transport.to_string();
    (listener, transport)
}

fn connector(runtime: &'static dyn Runtime, endpoint: &str) -> Connector {
    Connector::new(runtime, &endpoint.parse().unwrap()).unwrap()
}

#[test]
fn the_header_tells_who_the_client_is_before_the_handshake_inside() {
    let files = Files::new("proxied");
    let (ca, identity) = (files.ca(), files.identity("outer.example"));
    on_every_runtime(async |runtime| {
        for version in [1, 2] {
            let (listener, transport) = listen(runtime, &format!("+proxy-header+tls:{identity}")).await;
            let step = format!("proxy-header:version={version}:from=192.0.2.1:4321:to=198.51.100.2:25");
            let client = connector(runtime, &format!("{transport}+{step}+tls:sni=outer.example:{ca}"));
            let serve = async {
                let incoming = listener.accept().await.unwrap();
                assert!(incoming.addresses().peer.as_ref().unwrap().as_tcp().unwrap().ip().is_loopback());
                let incoming = incoming.identify().await.unwrap();
                let addresses = incoming.addresses().clone();
                assert_eq!(addresses.peer.unwrap().to_string(), "tcp 192.0.2.1:4321");
                assert_eq!(addresses.local.unwrap().to_string(), "tcp 198.51.100.2:25");
                assert_eq!(addresses.proxy_header.unwrap().version() == HeaderVersion::V1, version == 1);
                incoming.ready().await.unwrap()
            };
            let (client, mut server) = join(client.connect(), serve).await;
            assert!(server.layers().to_string().starts_with("tcp 192.0.2.1:4321 ─ tls"), "{}", server.layers());
            talk(&mut client.unwrap(), &mut server).await;
        }
    });
}

#[test]
fn without_keys_it_is_the_socket_that_is_told_of_and_local_tells_nothing() {
    on_every_runtime(async |runtime| {
        for (step, command) in [("proxy-header", Command::Proxy), ("proxy-header:local=yes", Command::Local)] {
            let (listener, transport) = listen(runtime, "+proxy-header").await;
            let client = connector(runtime, &format!("{transport}+{step}"));
            let serve = async { listener.accept().await.unwrap().identify().await.unwrap() };
            let (client, incoming) = join(client.connect(), serve).await;
            let mut client = client.unwrap();
            assert_eq!(incoming.addresses().peer.as_ref(), Some(client.get_ref().local_address()));
            assert_eq!(incoming.addresses().proxy_header.as_ref().unwrap().command(), command);
            talk(&mut client, &mut incoming.ready().await.unwrap()).await;
        }
    });
}

#[test]
fn who_connects_for_somebody_tells_of_that_one() {
    let client = Addresses::new(tcp("198.51.100.2:25"), tcp("192.0.2.1:4321"));
    // As a socket for both families shows a client of IPv4.
    let mapped = Addresses::new(tcp("[::ffff:198.51.100.2]:25"), tcp("[::ffff:192.0.2.1]:4321"));
    let nameless = Addresses::new(Address::Unix(None), Address::Unix(None));
    on_every_runtime(async |runtime| {
        for (addresses, step, peer, local) in [
            (&client, "proxy-header", Some("192.0.2.1:4321"), Some("198.51.100.2:25")),
            (&client, "proxy-header:version=1", Some("192.0.2.1:4321"), Some("198.51.100.2:25")),
            (&mapped, "proxy-header:version=1", Some("192.0.2.1:4321"), Some("198.51.100.2:25")),
            (&client, "proxy-header:from=192.0.2.9:9", Some("192.0.2.9:9"), Some("198.51.100.2:25")),
            (&client, "proxy-header:to=192.0.2.9:9", Some("192.0.2.1:4321"), Some("192.0.2.9:9")),
            (&client, "proxy-header:local=yes", None, None),
            (&nameless, "proxy-header", None, None),
            (&nameless, "proxy-header:version=1", None, None),
        ] {
            let (listener, transport) = listen(runtime, "+proxy-header").await;
            let connector = connector(runtime, &format!("{transport}+{step}"));
            let serve = async { listener.accept().await.unwrap().identify().await.unwrap() };
            let (far, incoming) = join(connector.connect_for(addresses), serve).await;
            let far = far.unwrap();
            let socket = (far.get_ref().local_address().to_string(), far.get_ref().peer_address().to_string());
            let seen = incoming.addresses();
            let seen = [&seen.peer, &seen.local].map(|address| address.as_ref().unwrap().to_string());
            let expected = [
                peer.map_or(socket.0, |address| format!("tcp {address}")),
                local.map_or(socket.1, |address| format!("tcp {address}")),
            ];
            assert_eq!(seen, expected, "{step} {addresses}");
        }
    });
}

fn tcp(address: &str) -> Address {
    Address::Tcp(address.parse().unwrap())
}

#[test]
fn a_client_without_a_header_is_refused_unless_that_is_optional() {
    on_every_runtime(async |runtime| {
        for (step, welcome) in [("+proxy-header", false), ("+proxy-header:optional=yes", true)] {
            let (listener, transport) = listen(runtime, step).await;
            let mut client = connector(runtime, &transport).connect().await.unwrap();
            client.write_line("HELO").await.unwrap();
            let incoming = listener.accept().await.unwrap().identify().await;
            match incoming {
                Ok(incoming) if welcome => {
                    assert!(incoming.addresses().proxy_header.is_none());
                    let line = incoming.ready().await.unwrap().read_line().await.unwrap();
                    assert_eq!(line.unwrap(), b"HELO");
                }
                Err(error) if !welcome => {
                    assert!(error.connection_error().is_some_and(Error::is_not_spoken), "{error}");
                }
                other => panic!("{step}: {other:?}"),
            }
        }
    });
}

/// Answers with what it knows of its peer, and leaves.
struct Mirror;

impl Protocol for Mirror {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        let authority = transport.proxy_header().and_then(ProxyHeader::authority).unwrap_or("-");
        let answer = format!("{} {authority}\r\n", transport.peer_address().unwrap());
        transport.write(answer.as_bytes())?;
        transport.close();
        Ok(())
    }
}

#[test]
fn a_protocol_knows_the_true_peer_and_the_further_information_when_its_connection_is_made() {
    on_every_runtime(async |runtime| {
        let (listener, transport) = listen(runtime, "+proxy-header").await;
        let built = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&built);
        let server = Server::new(listener, move |addresses: &Addresses| {
            seen.lock().unwrap().push(addresses.to_string());
            Mirror
        });
        let mut client = connector(runtime, &transport).connect().await.unwrap();
        let header = ProxyHeader::v2(onionskin::layer::proxy_header::HeaderAddresses::tcp(
            "[2001:db8::7]:1".parse().unwrap(),
            "[2001:db8::8]:2".parse().unwrap(),
        ));
        client.send_proxy_header(&header.with_tlv(TlvKind::Authority, "mail.example").unwrap()).await.unwrap();
        assert_eq!(client.read_line().await.unwrap().unwrap(), b"tcp [2001:db8::7]:1 mail.example");
        drop(client);
        server.stop(Duration::from_secs(60)).await;
        assert_eq!(*built.lock().unwrap(), ["tcp [2001:db8::7]:1"]);
    });
}

#[test]
fn limits_for_each_peer_count_the_true_peers() {
    struct Stays;
    impl Protocol for Stays {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.write(b"welcome\r\n")
        }
    }
    on_every_runtime(async |runtime| {
        let (listener, transport) = listen(runtime, "+proxy-header").await;
        let server = Server::new(listener, LimitConnections::new(|_: &Addresses| Stays).per_peer(1));
        let from = |address: &str| format!("{transport}+proxy-header:from={address}:to=192.0.2.9:25");
        let mut guests = Vec::new();
        for (address, welcome) in [("192.0.2.1:1", true), ("192.0.2.2:1", true), ("192.0.2.1:2", false)] {
            let mut guest = connector(runtime, &from(address)).connect().await.unwrap();
            let line = guest.read_line().await;
            assert_eq!(matches!(line, Ok(Some(_))), welcome, "{address}: {line:?}");
            guests.push(guest);
        }
        for mut guest in guests {
            let _ = guest.close().await;
        }
        server.stop(Duration::from_secs(60)).await;
    });
}

#[test]
fn the_tls_of_a_peer_is_known_also_when_its_handshake_is_done() {
    let files = Files::new("proxied_inside");
    let (ca, identity) = (files.ca(), files.identity("outer.example"));
    on_every_runtime(async |runtime| {
        let (listener, transport) = listen(runtime, &format!("+tls:{identity}+proxy-header")).await;
        let client = connector(runtime, &format!("{transport}+tls:sni=outer.example:{ca}+proxy-header"));
        let serve = async {
            let incoming = listener.accept().await.unwrap();
            assert!(incoming.tls_server().is_some());
            let incoming = incoming.identify().await.unwrap();
            assert!(incoming.addresses().proxy_header.is_some());
            assert!(incoming.tls_server().is_some());
            incoming.ready().await.unwrap()
        };
        let (client, mut server) = join(client.connect(), serve).await;
        assert_eq!(server.depth(), 1);
        talk(&mut client.unwrap(), &mut server).await;
    });
}
