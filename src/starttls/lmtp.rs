//! LMTP (RFC 2033): as SMTP, with LHLO in place of EHLO.

use super::smtp::{Client, Server};
use super::{Machine, Smtp, StartTls};

/// LMTP.
///
/// After TLS the server does not greet again, and the client begins with LHLO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lmtp(Smtp);

impl Lmtp {
    /// A peer that calls itself `localhost`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Smtp::named`].
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self(self.0.named(name))
    }

    /// As [`Smtp::greeted`].
    #[must_use]
    pub fn greeted(self) -> Self {
        Self(self.0.greeted())
    }
}

impl StartTls for Lmtp {
    fn name(&self) -> &'static str {
        "lmtp"
    }

    fn client(&self) -> Box<dyn Machine> {
        Box::new(Client::new(&self.0, "LHLO"))
    }

    fn server(&self) -> Box<dyn Machine> {
        Box::new(Server::greeting(&self.0, "LHLO", "LMTP"))
    }
}
