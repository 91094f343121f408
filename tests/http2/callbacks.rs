//! Protocols in tunnels.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use onionskin::protocol::{Addresses, EndReason, Protocol, Result, Transport};
use onionskin::runtime::Address;
use onionskin::tunnel::http2::{PendingTunnels, Tunnels};
use onionskin::tunnel::{Ender, Error, ErrorKind};

use crate::{CONFIGURED, CUTS, NAME, hear, run, say, settle, target};

/// Says in capitals what it hears.
struct Shout(Arc<Mutex<Vec<String>>>);

impl Protocol for Shout {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.write(b"READY ")
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        let said = transport.take_all().to_ascii_uppercase();
        transport.write(&said)
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        self.0.lock().unwrap().push(reason.to_string());
    }
}

#[test]
fn a_factory_makes_a_protocol_for_each_tunnel() {
    for cut in CUTS {
        run(|bench| async move {
            let (tunnels, mut proxy) = bench.tunnels(cut).await;
            let ends = Arc::new(Mutex::new(Vec::new()));
            let (built, seen) = (Arc::clone(&ends), Arc::new(Mutex::new(Vec::new())));
            let targets = Arc::clone(&seen);
            let factory = move |addresses: &Addresses| {
                targets.lock().unwrap().push(addresses.target.clone());
                Shout(Arc::clone(&built))
            };
            let mut fars = Vec::new();
            for _ in 0..3 {
                let (running, far) = join(tunnels.run(target(), &factory), proxy.grant()).await;
                bench.spawn(running.unwrap().map(|_| ()));
                fars.push(far);
            }
            assert_eq!(*seen.lock().unwrap(), vec![Some(target()); 3]);
            for far in &mut fars {
                far.say(b"hello");
                assert_eq!(far.hear(11).await, b"READY HELLO");
            }
            fars[0].send.send_reset(h2::Reason::CONNECT_ERROR);
            settle().await;
            let said = ends.lock().unwrap().clone();
            assert!(matches!(&said[..], [reason] if reason.contains("CONNECT_ERROR")), "{said:?}");
            fars[1].say(b"more");
            assert_eq!(fars[1].hear(4).await, b"MORE");
        });
    }
}

/// Makes none.
struct Nobody;

impl onionskin::protocol::Factory for Nobody {
    type Protocol = Shout;

    fn build(&self, _: &Addresses) -> Option<Shout> {
        None
    }
}

#[test]
fn a_tunnel_without_a_protocol_is_reset() {
    run(|bench| async move {
        let (tunnels, mut proxy) = bench.tunnels(CUTS[0]).await;
        let (running, mut far) = join(tunnels.run(target(), &Nobody), proxy.grant()).await;
        let error: Error = running.map(|_| ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Declined(_)), "{error}");
        assert_eq!(far.reset().await, h2::Reason::CANCEL);
    });
}

/// Answers whoever asks for one of the names that it has, and nobody else.
struct Shouts {
    ends: Arc<Mutex<Vec<String>>>,
    asked: Mutex<Vec<Addresses>>,
}

impl onionskin::protocol::Factory for Shouts {
    type Protocol = Shout;

    fn build(&self, addresses: &Addresses) -> Option<Shout> {
        self.asked.lock().unwrap().push(addresses.clone());
        (addresses.target == Some(target())).then(|| Shout(Arc::clone(&self.ends)))
    }
}

#[test]
fn a_server_makes_a_protocol_for_each_tunnel_that_it_is_asked_for() {
    for cut in CUTS {
        run(|bench| async move {
            let (carrier, end) = bench.carrier(cut);
            let shouts = Arc::new(Shouts { ends: Arc::default(), asked: Mutex::default() });
            let (factory, spawner) = (Arc::clone(&shouts), bench.clone());
            let server = bench.connection(end);
            bench.spawn(async move {
                let mut asked = PendingTunnels::over(server);
                while let Some(running) = asked.run_next(&*factory).await {
                    spawner.spawn(running.map(|_| ()));
                }
                factory.ends.lock().unwrap().push("no more".to_owned());
            });
            let tunnels = Tunnels::over(carrier).await.unwrap();
            let mut first = tunnels.open(target()).await.unwrap();
            let error = tunnels.open(Address::to_host("other.test", 1).unwrap()).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Refused { by: Ender::Proxy, code: 403, .. }), "{error:?}");
            let mut second = tunnels.open(target()).await.unwrap();
            for opened in [&mut first, &mut second] {
                hear(opened, b"READY ").await;
                say(opened, b"hello").await;
                hear(opened, b"HELLO").await;
            }
            let asked = shouts.asked.lock().unwrap().clone();
            assert_eq!(asked.iter().filter(|addresses| addresses.target == Some(target())).count(), 2);
            // Whoever has connected is told of with each.
            let peer = Some(Address::to_host("proxy.test", 443).unwrap());
            assert!(asked.len() == 3 && asked.iter().all(|addresses| addresses.peer == peer), "{asked:?}");
            // The end of one and the loss of the other are those of one protocol each.
            first.close().await.unwrap();
            assert_eq!(first.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            settle().await;
            assert_eq!(shouts.ends.lock().unwrap().len(), 1);
            say(&mut second, b"more").await;
            hear(&mut second, b"MORE").await;
            drop(second);
            settle().await;
            let ends = shouts.ends.lock().unwrap().clone();
            assert!(ends.len() == 2 && ends[1].contains("CANCEL") && !ends[0].contains("CANCEL"), "{ends:?}");
            drop((first, tunnels));
            settle().await;
            assert_eq!(shouts.ends.lock().unwrap().last().unwrap(), "no more");
        });
    }
}

/// TLS in a tunnel, by a protocol that starts it and one that was made for the other end.
#[test]
fn a_protocol_of_a_server_has_layers_in_its_tunnel() {
    struct Secret;

    impl Protocol for Secret {
        fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
            transport.start_tls(CONFIGURED.1.accept().unwrap())?;
            Ok(())
        }

        fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
            let said = transport.take_all().to_ascii_uppercase();
            transport.write(&said)
        }
    }

    for cut in CUTS {
        run(|bench| async move {
            let (carrier, end) = bench.carrier(cut);
            let mut asked = PendingTunnels::over(bench.connection(end));
            let spawner = bench.clone();
            bench.spawn(async move {
                while let Some(running) = asked.run_next(&|_: &Addresses| Secret).await {
                    spawner.spawn(running.map(|_| ()));
                }
            });
            let tunnels = Tunnels::over(carrier).await.unwrap();
            let (mut first, mut second) =
                (tunnels.open(target()).await.unwrap(), tunnels.open(target()).await.unwrap());
            for opened in [&mut first, &mut second] {
                opened.start_tls(CONFIGURED.0.to(NAME).unwrap()).await.unwrap();
                say(opened, b"hello").await;
                hear(opened, b"HELLO").await;
            }
            first.close().await.unwrap();
            assert_eq!(first.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            say(&mut second, b"more").await;
            hear(&mut second, b"MORE").await;
        });
    }
}
