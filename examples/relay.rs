//! A relay: every connection to one endpoint is joined to a new one to another. TLS may end here, begin here, or both.
//!
//! ```text
//! cargo run --example relay -- FROM TO
//! ```
//!
//! To give a server that speaks in clear its TLS, and a client that speaks in clear too, in four terminals:
//!
//! ```text
//! cargo run --features cli -- serve tcp:127.0.0.1:4433 --self-signed /tmp/onion
//! cargo run --example relay -- tcp:127.0.0.1:4434+tls:cert=/tmp/onion/cert.pem:key=/tmp/onion/key.pem tcp:127.0.0.1:4433
//! cargo run --example relay -- tcp:127.0.0.1:4435 tcp:127.0.0.1:4434+tls:sni=localhost:ca=/tmp/onion/ca.pem
//! cargo run --features cli -- connect tcp:127.0.0.1:4435
//! ```
//!
//! Either direction waits while its receiver is slow, whatever the other one does. Either ends by itself, and the
//! connection when both have ended. If one side is lost, so is the other.

use std::error::Error;
use std::sync::{Arc, OnceLock};

use onionskin::endpoint::Connector;
use onionskin::listen_with;
use onionskin::protocol::{Addresses, EndReason, Handle, HandleError, LayerId, Protocol, Result, Streaming, Transport};
use onionskin::runtime::{self, Runtime};
use onionskin::stack;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::preferred().ok_or("built without a runtime")?;
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(to), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("two endpoints are needed: where to listen, and where to connect".into());
    };
    runtime::block_on(runtime, async {
        let connector = Connector::new(runtime, &to.parse()?)?;
        let factory = move |_: &Addresses| Near { runtime, connector: connector.clone(), side: Side::default() };
        let mut server = listen_with(&from, factory).await?;
        println!("listening on {}", server.endpoint().transport);
        server.wait().await;
        Ok(())
    })
}

/// The side that has connected to us: it begins by connecting the far side.
struct Near {
    runtime: &'static dyn Runtime,
    connector: Connector,
    side: Side,
}

impl Protocol for Near {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut self.side)
    }

    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.side.connection_made(transport)?;
        transport.pause_producing(); // until the far side is there
        let near = transport.handle();
        let far = Far { near: near.clone(), other: Arc::clone(&self.side.other), side: Side::joined_to(near.clone()) };
        let connector = self.connector.clone();
        self.runtime.spawn(Box::pin(async move {
            if let Err(error) = connector.connect_with(far).await {
                eprintln!("{error}");
                near.abort();
            }
        }));
        Ok(())
    }
}

/// The side that we have connected to: it begins by joining both.
struct Far {
    near: Handle,
    /// Where the near side looks for this one.
    other: Arc<OnceLock<Handle>>,
    side: Side,
}

impl Protocol for Far {
    fn wrapped(&mut self) -> Option<&mut dyn Protocol> {
        Some(&mut self.side)
    }

    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        self.side.connection_made(transport)?;
        let far = self.other.get_or_init(|| transport.handle()).clone();
        if self.near.call(move |near| Ok(near.register_producer(far, Streaming::Push)?)).is_err() {
            transport.abort(); // lost meanwhile: a graceful end would say something else
            return Ok(());
        }
        transport.register_producer(self.near.clone(), Streaming::Push)?; // from here on, the near side is read
        Ok(())
    }
}

/// What both sides do: what is read here is written there.
#[derive(Default)]
struct Side {
    other: Arc<OnceLock<Handle>>,
}

impl Side {
    fn joined_to(other: Handle) -> Self {
        Self { other: Arc::new(OnceLock::from(other)) }
    }
}

impl Protocol for Side {
    fn connection_made(&mut self, transport: &mut Transport<'_>) -> Result {
        transport.read_while_full(true); // the other direction has nothing to do with this one
        transport.set_write_limit(MAX_WAITING);
        Ok(())
    }

    fn data_received(&mut self, transport: &mut Transport<'_>) -> Result {
        let Some(other) = self.other.get() else { return Ok(()) };
        match other.write(transport.input()) {
            Ok(()) => transport.consume(transport.input().len()),
            // The other side has not yet come round to pausing this one. It will, and then it resumes it too.
            Err(HandleError::Full) => transport.pause_producing(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn layer_ended(&mut self, transport: &mut Transport<'_>, _: LayerId) -> Result {
        self.end_of_input(transport)
    }

    fn end_of_input(&mut self, _: &mut Transport<'_>) -> Result {
        if let Some(other) = self.other.get() {
            other.half_close(); // behind what was written
        }
        Ok(())
    }

    /// Whoever ends without a close_notify may still read, but the other side could not tell that something may be missing.
    fn input_truncated(&mut self, transport: &mut Transport<'_>, _: &stack::Reason) -> Result {
        transport.abort();
        Ok(())
    }

    fn connection_ended(&mut self, reason: &EndReason) {
        if reason.is_closed() {
            return; // both directions have ended, so they have on the other side
        }
        eprintln!("{reason}");
        if let Some(other) = self.other.get() {
            other.abort(); // what is incomplete must not look complete
        }
    }
}

/// In each direction of each connection, in bytes.
const MAX_WAITING: usize = 1024 * 1024;
