//! A connection as the socket of another: what it shows, what it tells of who talks to whom, and how it is reset.

use std::io::ErrorKind;
use std::sync::Arc;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::protocol::{Protocol, Result, Transport, run};
use onionskin::runtime::{self, Address, KeepAlive, Runtime, Socket, block_on};
use onionskin::tls::Version;

use crate::peers::{NAME, client, server};
use crate::sockets::listen_tcp;

/// Two sockets of TCP, and the addresses of the two as they are printed.
async fn sockets(runtime: &'static dyn Runtime) -> (Socket, Socket, String, String) {
    let (listener, address) = listen_tcp(runtime).await;
    let (accepted, connected) = join(listener.accept(), runtime.connect_tcp(address)).await;
    let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
    let (local, peer) = (connected.local_address().to_string(), connected.peer_address().to_string());
    (connected, accepted, local, peer)
}

fn target() -> Address {
    Address::to_host("inner.example", 25).unwrap()
}

/// `socket` at the bottom, `depth` tunnels over it, and nothing else.
fn nested(runtime: &'static dyn Runtime, socket: Socket, depth: usize) -> Connection<Socket> {
    (0..depth).fold(Connection::over(socket, Arc::new(runtime)), |carrier, number| {
        let target = Address::to_host(&format!("hop{number}.example"), 1080).unwrap();
        Connection::over(carrier.into_socket(target), Arc::new(runtime))
    })
}

#[test]
fn the_layers_of_a_tunnel_show_below_those_of_the_connection_in_it() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (left, right, _, peer) = sockets(runtime).await;
            let (mut left, mut right) = join(
                async {
                    let mut carrier = Connection::over(left, Arc::new(runtime));
                    carrier.start_tls(client(Version::Tls12)).await.unwrap();
                    let mut tunnel = Connection::over(carrier.into_socket(target()), Arc::new(runtime));
                    tunnel.start_tls(client(Version::Tls13)).await.unwrap();
                    tunnel
                },
                async {
                    let mut carrier = Connection::over(right, Arc::new(runtime));
                    carrier.start_tls(server()).await.unwrap();
                    let mut tunnel = Connection::over(carrier.into_socket(Address::Stdio), Arc::new(runtime));
                    tunnel.start_tls(server()).await.unwrap();
                    tunnel
                },
            )
            .await;
            join(
                async {
                    left.write_all(b"to the inner one").await.unwrap();
                    left.close().await.unwrap();
                },
                async {
                    let mut heard = Vec::new();
                    right.read_to_end(&mut heard).await.unwrap();
                    assert_eq!(heard, b"to the inner one");
                },
            )
            .await;

            let line = left.to_string();
            assert_eq!(left.layers().to_string(), line);
            let (ours, below) = line.split_once(" over ").expect("what it runs over shows");
            assert!(ours.starts_with(&format!("tcp inner.example:25 via {peer} ─ tls1.3 ")), "{line}");
            assert!(below.starts_with(&format!("{peer} ─ tls1.2 ")), "{line}");
            assert!(ours.contains(NAME) && below.contains(NAME), "{line}");

            let drawing = format!("{left:#}");
            assert_eq!(format!("{:#}", left.layers()), drawing);
            let places = ["application", "TLSv1.3", "wire", "over", "TLSv1.2", &format!("wire          {peer}")]
                .map(|word| drawing.find(word).unwrap_or_else(|| panic!("no {word} in\n{drawing}")));
            assert!(places[..5].is_sorted() && places[4] < drawing.rfind("wire").unwrap(), "{drawing}");
            assert_eq!(drawing.matches("application").count(), 1, "{drawing}");
            assert!(drawing.lines().all(|line| line.trim_end() == line && line.chars().count() <= 100), "{drawing}");
            // Without a tunnel there is nothing below.
            assert_eq!(left.layers().len(), 1);
        });
    }
}

#[test]
fn a_tunnel_tells_through_whom_it_goes() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (left, _right, local, peer) = sockets(runtime).await;
            assert_eq!(left.to_string(), peer);
            let plain = nested(runtime, left, 0);
            assert_eq!((plain.addresses().to_string(), plain.to_string()), (peer.clone(), peer.clone()));
            let tunnel = nested(runtime, plain.into_inner().io, 2);
            let addresses = tunnel.addresses();
            assert_eq!(addresses.local.as_ref().unwrap().to_string(), local);
            assert_eq!(addresses.peer.as_ref().unwrap().to_string(), peer);
            assert_eq!(addresses.target, Some(Address::to_host("hop1.example", 1080).unwrap()));
            let text = format!("tcp hop1.example:1080 via {peer}, tcp hop0.example:1080");
            assert_eq!(addresses.to_string(), text);
            assert_eq!(tunnel.to_string(), format!("{text} over tcp hop0.example:1080 via {peer} over {peer}"));
        });
    }
}

/// What a protocol has heard of who talks to whom.
struct Told(String);

impl Protocol for Told {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.0 = format!("{} {}", transport.layers(), transport.peer_address().unwrap());
        transport.abort();
        Ok(())
    }
}

#[test]
fn a_protocol_in_a_tunnel_knows_of_it() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (left, _right, _, peer) = sockets(runtime).await;
            let finished = run(nested(runtime, left, 1), Told(String::new())).await;
            assert_eq!(finished.protocol.0, format!("tcp hop0.example:1080 via {peer} {peer}"));
        });
    }
}

#[cfg(unix)]
#[test]
fn a_reset_reaches_the_socket_at_the_bottom_and_a_drop_does_not_reset() {
    for &runtime in runtime::all() {
        for depth in 0..4 {
            for reset in [true, false] {
                block_on(runtime, async {
                    let (left, mut right, ..) = sockets(runtime).await;
                    let tunnel = nested(runtime, left, depth);
                    if reset {
                        tunnel.reset().unwrap();
                    } else {
                        drop(tunnel);
                    }
                    let heard = right.read(&mut [0; 16]).await.map_err(|error| error.kind());
                    let expected = if reset { Err(ErrorKind::ConnectionReset) } else { Ok(0) };
                    assert_eq!(heard, expected, "{runtime:?} {depth}");
                });
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn what_the_system_does_for_a_socket_it_does_for_a_tunnel_over_it() {
    for &runtime in runtime::all() {
        block_on(runtime, async {
            let (left, _right, ..) = sockets(runtime).await;
            let tunnel = nested(runtime, left, 2);
            let socket = tunnel.get_ref();
            assert_eq!(socket.keep_alive().unwrap(), Some(KeepAlive::default()));
            socket.set_keep_alive(None).unwrap();
            assert_eq!(socket.keep_alive().unwrap(), None);
            let carrier = tunnel.into_inner().io;
            assert_eq!(carrier.unsent().is_some(), nested_alone(runtime).await, "{runtime:?}");
        });
    }
}

/// Whether the backlog of a bare socket is known here.
async fn nested_alone(runtime: &'static dyn Runtime) -> bool {
    sockets(runtime).await.0.unsent().is_some()
}

/// A loss of what carries the tunnel is one in the tunnel, and never an end.
#[test]
fn a_tunnel_whose_carrier_is_cut_off_is_no_end() {
    for &runtime in runtime::all() {
        for cut_off in [true, false] {
            block_on(runtime, async {
                let (left, right, ..) = sockets(runtime).await;
                let (left, right) = join(
                    async {
                        let mut carrier = Connection::over(left, Arc::new(runtime));
                        carrier.start_tls(client(Version::Tls13)).await.unwrap();
                        carrier
                    },
                    async {
                        let mut carrier = Connection::over(right, Arc::new(runtime));
                        carrier.start_tls(server()).await.unwrap();
                        carrier
                    },
                )
                .await;
                let mut tunnel = Connection::over(left.into_socket(target()), Arc::new(runtime));
                let ending = async {
                    let mut right = right;
                    if cut_off { right.into_inner().io.close().await.unwrap() } else { right.close().await.unwrap() }
                };
                let mut buffer = [0; 16];
                let (heard, ()) = join(tunnel.read(&mut buffer), ending).await;
                assert_eq!(heard.is_err(), cut_off, "{runtime:?}: {heard:?}");
                let Err(error) = heard else { return };
                // It is the same loss, seen from further in.
                let error = Error::of(&error).unwrap();
                assert!(error.is_truncated(), "{error}");
            });
        }
    }
}

#[test]
fn a_tunnel_over_a_bare_stream_is_called_after_whom_it_leads_to() {
    for &runtime in runtime::all() {
        let (left, _right) = onionskin::testing::wire(onionskin::testing::Cut::Whole, 1);
        let carrier = Connection::with_timer(left, Arc::new(runtime));
        let tunnel = Connection::over(carrier.into_socket(target()), Arc::new(runtime));
        assert_eq!(tunnel.to_string(), "tcp inner.example:25 over wire");
    }
}
