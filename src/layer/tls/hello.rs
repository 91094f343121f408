//! The name that a server is asked for, read before rustls gets the ClientHello.

use rustls::server::Acceptor;

/// A ClientHello read from a copy, because an unbuffered server never tells the name that it was asked for.
#[derive(Default)]
pub(super) struct Hello {
    acceptor: Acceptor,
    fed: usize,
}

pub(super) enum HelloRead {
    Incomplete,
    /// All of it is there, or it is none: then the connection itself will say so.
    Complete(Option<String>),
}

impl Hello {
    pub(super) fn read(&mut self, input: &[u8]) -> HelloRead {
        while self.fed < input.len() {
            // Bit by bit: it takes a long hello only when it knows by its beginning that it is one.
            match self.acceptor.read_tls(&mut &input[self.fed..]) {
                Ok(count) if count > 0 => self.fed += count,
                _ => return HelloRead::Complete(None),
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    return HelloRead::Complete(accepted.client_hello().server_name().map(str::to_owned));
                }
                Err(_) => return HelloRead::Complete(None),
            }
        }
        HelloRead::Incomplete
    }
}
