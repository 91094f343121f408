//! Protocols in tunnels.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::join;
use onionskin::protocol::{Addresses, EndReason, Protocol, Result, Transport};
use onionskin::tunnel::{Error, ErrorKind};

use crate::{CUTS, run, settle, target};

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
