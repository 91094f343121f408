//! Whom the clients of a proxy may reach, and how they are reached.
#![allow(clippy::unwrap_used, reason = "what a helper finds missing fails its test")]
#![cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]

mod reach;
mod rules;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures::FutureExt;
use futures::future::BoxFuture;
use onionskin::proxy::{Reach, Resolve, Rules, Unreached};
use onionskin::runtime::{self, Address, Runtime};

fn system() -> &'static dyn Runtime {
    runtime::preferred().unwrap()
}

/// Says one thing the first time, and another from then on.
#[derive(Clone, Debug)]
struct Fickle {
    first: Vec<IpAddr>,
    then: Vec<IpAddr>,
    asked: Arc<AtomicUsize>,
}

impl Fickle {
    fn always(addresses: &[&str]) -> Self {
        Self::new(addresses, addresses)
    }

    fn new(first: &[&str], then: &[&str]) -> Self {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Self { first: parse(first), then: parse(then), asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }
}

impl Resolve for Fickle {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let addresses = if self.asked.fetch_add(1, Relaxed) == 0 { &self.first } else { &self.then };
        futures::future::ready(Ok(addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect())).boxed()
    }
}

/// What these rules, as they stand in a file, let through of a name that stands for these addresses.
fn judge(rules: &str, host: &str, port: u16, addresses: &[&str]) -> Result<Vec<String>, Unreached> {
    let reach = Reach::new(system()).rules(Rules::parse(rules).unwrap()).resolver(Fickle::always(addresses));
    let target = Address::to_host(host, port).unwrap();
    let found = runtime::block_on(system(), reach.addresses(&target))?;
    Ok(found.into_iter().map(|address| address.ip().to_string()).collect())
}
