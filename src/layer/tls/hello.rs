//! What a client asks a server for, read before rustls gets the ClientHello.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{Accepted, Acceptor};

/// A ClientHello read from a copy, because an unbuffered server never tells the name that it was asked for.
pub(super) struct Hello {
    /// What the server was made from.
    pub(super) config: Arc<ServerConfig>,
    /// The application protocol that the client must offer (ALPN), if it must.
    pub(super) required: Option<&'static str>,
    /// Other configurations, by the name that the client asks for.
    others: Others,
    acceptor: Acceptor,
    fed: usize,
}

/// What is served in place of the usual, by the name that is asked for, in lower case.
pub(super) type Others = Arc<dyn Fn(&str) -> Option<Arc<ServerConfig>> + Send + Sync>;

pub(super) enum HelloRead {
    Incomplete,
    /// All of it is there, or it is none: then the connection itself will say so.
    Complete(Option<Asked>),
}

/// What a client asks for.
pub(super) struct Asked {
    pub(super) server_name: Option<String>,
    /// Whether it offers what is required.
    pub(super) offers_required: bool,
}

impl Hello {
    pub(super) fn new(config: Arc<ServerConfig>, others: Others) -> Self {
        Self { config, required: None, others, acceptor: Acceptor::default(), fed: 0 }
    }

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
                    return HelloRead::Complete(Some(self.asked(&accepted)));
                }
                Err(_) => return HelloRead::Complete(None),
            }
        }
        HelloRead::Incomplete
    }

    /// The configuration for a client that asks for this name, if it is another one.
    pub(super) fn other(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let config = (self.others)(name?)?;
        Some(self.with_required(&config).unwrap_or(config))
    }

    /// The configuration with the application protocol that is required, unless it has that.
    pub(super) fn with_required(&self, config: &ServerConfig) -> Option<Arc<ServerConfig>> {
        let required = self.required?.as_bytes();
        if config.alpn_protocols.iter().any(|served| served == required) {
            return None;
        }
        let mut config = config.clone();
        config.alpn_protocols.push(required.to_vec());
        Some(Arc::new(config))
    }

    fn asked(&self, accepted: &Accepted) -> Asked {
        let hello = accepted.client_hello();
        let offers = |protocol: &str| {
            hello.alpn().is_some_and(|mut offered| offered.any(|offered| offered == protocol.as_bytes()))
        };
        Asked { server_name: hello.server_name().map(str::to_owned), offers_required: self.required.is_none_or(offers) }
    }
}
