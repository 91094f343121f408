//! A connection over a [`Socket`], and one as the socket of another: TLS in a tunnel in TLS.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures::io::{AsyncRead, AsyncWrite};

use super::{Addresses, Connection, Hop};
use crate::runtime::{Address, Carrier, KeepAlive, Socket, Timer};

impl Connection<Socket> {
    /// A connection without layers over `socket`, with this clock. It has the addresses of the socket, shows in a drawing
    /// what the socket runs over, and asks it for its [backlog](Socket::unsent).
    pub fn over(socket: Socket, timer: Arc<dyn Timer>) -> Self {
        let addresses = Addresses::from(&socket);
        let mut connection = Self::with_timer(socket, timer).asking_backlog(Socket::unsent).between(addresses);
        connection.chain = Socket::chain;
        connection.wire.move_pieces(Socket::poll_read_piece, Socket::poll_write_piece);
        #[cfg(feature = "http2")]
        connection.wire.show_layers(Self::write_plate);
        if let Some(Known { route, layers }) = connection.get_ref().known().cloned() {
            connection.set_route(route);
            connection.stack.lie_inside(layers);
        }
        connection
    }
}

impl<IO> Connection<IO> {
    /// Tells the connection who talks to whom, and names the wire after it. A protocol that is
    /// [run](crate::protocol::run()) over it has these addresses.
    #[must_use]
    pub fn between(mut self, addresses: Addresses) -> Self {
        self.set_addresses(addresses);
        self
    }

    /// As [`between`](Self::between): where a negotiation has led on to somebody else, for example.
    pub fn set_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
        self.rename();
    }

    /// Who talks to whom, as far as it is known: of a connection over a bare stream, nobody.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

impl<IO: 'static> Connection<IO> {
    /// Closes the socket below all layers with a [reset](Socket::reset): the peer cannot take it for the end of what was
    /// to be said. Where a connection runs over another [as its socket](Self::into_socket), that is the one at the bottom of all.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it does not run over a [`Socket`], or as [`Socket::reset`]. It is dropped then. One that runs straight over
    /// another one has none: the other is made [its socket](Self::into_socket) for that.
    pub fn reset(self) -> io::Result<()> {
        let io: Box<dyn Any> = Box::new(self.into_inner().io);
        match io.downcast::<Socket>() {
            Ok(socket) => socket.reset(),
            Err(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn socket(&self) -> io::Result<&Socket> {
        let io: &dyn Any = self.get_ref();
        io.downcast_ref().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<IO> {
    /// This connection as the socket of another, where who is at its far end passes on to `target` what comes: a tunnel.
    /// What it has received and nobody has read is read there first.
    ///
    /// The other connection shows the layers of this one below its own, and a [reset](Self::reset) of it reaches the socket
    /// of this one. Its losses are told there as errors of its socket.
    pub fn into_socket(self, target: Address) -> Socket {
        let layers = self.stack.depth_in_all();
        let mut route = self.route().to_vec();
        route.push(self.next_hop(target.clone()));
        let Addresses { local, peer, target, via, .. } = self.addresses.clone().through_to(target);
        let known = |address: Option<Address>| address.unwrap_or(Address::Unix(None));
        Socket::over(self, known(local), known(peer), known(target), via).knowing(Known { route, layers })
    }
}

/// The route of the connection that is the socket of another, and how many layers it has, with those of what carries it.
#[derive(Clone, Debug)]
struct Known {
    route: Vec<Hop>,
    layers: usize,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Carrier for Connection<IO> {
    fn reset(self) -> io::Result<()> {
        Self::reset(self)
    }

    fn unsent(&self) -> Option<usize> {
        self.wire.backlog()
    }

    fn poll_read_piece(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut BytesMut,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        Some(self.poll_read_to(to, most, cx).map_err(io::Error::from))
    }

    fn poll_write_piece(
        &mut self,
        cx: &mut Context<'_>,
        piece: &mut BytesMut,
        most: usize,
    ) -> Option<Poll<io::Result<usize>>> {
        Some(self.poll_write_of(piece, most, cx).map_err(io::Error::from))
    }

    fn keep_alive(&self) -> io::Result<Option<KeepAlive>> {
        self.socket()?.keep_alive()
    }

    fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) -> io::Result<()> {
        self.socket()?.set_keep_alive(keep_alive)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket()?.take_error()
    }
}
