//! One protocol for each connection of a server.

use super::{Addresses, Protocol};

/// Makes the protocols of a server, one for each connection.
///
/// A closure is a factory too:
///
/// ```
/// use onionskin::protocol::{Addresses, Factory, Protocol};
///
/// struct Echo;
/// # impl Protocol for Echo {}
///
/// fn takes_a_factory(factory: impl Factory) {}
///
/// takes_a_factory(|_: &Addresses| Echo);
/// ```
///
/// What all connections share lives in the factory, behind an `Arc` or a lock where a protocol needs it later.
pub trait Factory: Send + Sync + 'static {
    /// What it makes. `Box<dyn Protocol>` where that differs.
    type Protocol: Protocol;

    /// A protocol for the connection between these addresses; `None` refuses the connection.
    ///
    /// Called as soon as the peer is known: before the handshakes of TLS, and behind the PROXY header if there is one.
    /// If the handshakes fail, the protocol is dropped, and never hears of a connection.
    fn build(&self, addresses: &Addresses) -> Option<Self::Protocol>;

    /// The server listens.
    fn start_factory(&self) {}

    /// The server listens no more, and all its connections are over.
    fn stop_factory(&self) {}
}

impl<F, P> Factory for F
where
    F: Fn(&Addresses) -> P + Send + Sync + 'static,
    P: Protocol,
{
    type Protocol = P;

    fn build(&self, addresses: &Addresses) -> Option<P> {
        Some(self(addresses))
    }
}
