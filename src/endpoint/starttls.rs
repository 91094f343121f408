//! The step `starttls`: TLS that an application protocol is asked for.

use std::fmt;

use super::arguments::{Arguments, Printer, text};
use super::clients::Place;
use super::error::{ErrorKind as ParseErrorKind, ParseError};
use super::grammar::Word;
use super::named::NamedServer;
use super::step::{Step, TlsStep, YES};
use crate::route::starttls::{AcceptStartTls, DialStartTls, Spoken};
use crate::starttls::{KnownProtocol, StartTls, XMPP_IS_A_FEATURE};
use crate::tls::{ConfigError, TlsClient, TlsServer};

/// TLS that is started by what the application protocol says for it.
///
/// Client and server share the step, as they do [`TlsStep`], whose keys it has too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StartTlsStep {
    /// The protocol that is spoken before TLS, and in it.
    pub protocol: KnownProtocol,
    /// `name`: what this side calls itself, in protocols that have a word for it. Without it, a client of SMTP or LMTP is
    /// what [`own_name`](crate::starttls::own_name()) says.
    pub name: Option<String>,
    /// `opportunistic=yes`: goes on in clear if there is no TLS. Whoever can change what is sent can bring
    /// that about.
    pub opportunistic: bool,
    /// The TLS itself.
    pub tls: TlsStep,
}

impl StartTlsStep {
    /// TLS as `tls` says, behind what `protocol` says before it.
    #[must_use]
    pub fn new(protocol: KnownProtocol, tls: TlsStep) -> Self {
        Self { protocol, name: None, opportunistic: false, tls }
    }

    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, ParseError> {
        let named = NamedServer::read_all(arguments)?;
        Ok(Self {
            protocol: protocol(arguments.positional("the protocol")?)?,
            name: arguments.key("name", Word::text)?,
            opportunistic: arguments.key("opportunistic", |word| word.choice(&YES))?.is_some(),
            tls: TlsStep::read_whole(arguments, named)?,
        })
    }

    /// The client that this step describes, made anew; see [`TlsStep::client`].
    ///
    /// # Errors
    ///
    /// As [`TlsStep::client`].
    pub fn client(&self) -> Result<TlsClient, ConfigError> {
        self.possible_tls().client()
    }

    /// The server that this step describes, made anew; see [`TlsStep::server`]. One of PostgreSQL serves the application
    /// protocol `postgresql` (ALPN) unless `alpn` says otherwise.
    ///
    /// # Errors
    ///
    /// As [`TlsStep::server`].
    pub fn server(&self) -> Result<TlsServer, ConfigError> {
        let mut tls = self.possible_tls();
        if self.protocol == KnownProtocol::Postgres && tls.alpn.is_empty() {
            tls.alpn.push("postgresql".to_owned());
        }
        tls.server()
    }

    /// Without versions that the protocol cannot have.
    fn possible_tls(&self) -> TlsStep {
        let highest = self.protocol.highest_version();
        let max_version = Some(self.tls.max_version.map_or(highest, |max| max.min(highest)));
        TlsStep { max_version, ..self.tls.clone() }
    }

    /// What speaks the protocol with, or as, the server of this name.
    pub fn peer(&self, server: &str) -> Box<dyn StartTls> {
        self.protocol.peer(server, self.name.as_deref())
    }

    /// What a client does for this step.
    pub(super) fn dial(&self, place: Place) -> Result<DialStartTls, ConfigError> {
        let client = place.client(&self.possible_tls())?;
        Ok(DialStartTls { spoken: self.spoken(), client, name: self.tls.server_name.clone() })
    }

    /// What a server does for this step.
    pub(super) fn accept(&self) -> Result<AcceptStartTls, ConfigError> {
        Ok(AcceptStartTls { spoken: self.spoken(), server: self.server()? })
    }

    fn spoken(&self) -> Spoken {
        Spoken { protocol: self.protocol, own_name: self.name.clone(), opportunistic: self.opportunistic }
    }
}

fn protocol(word: Word) -> Result<KnownProtocol, ParseError> {
    if !cfg!(feature = "xmpp") && word.text.starts_with("xmpp") {
        return Err(ParseError::new(ParseErrorKind::InvalidValue, word.position, XMPP_IS_A_FEATURE));
    }
    word.choice(KnownProtocol::ALL)
}

impl fmt::Display for StartTlsStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = Printer::new("starttls", f)
            .positional(self.protocol)
            .key("name", self.name.as_deref().map(text))
            .key("opportunistic", self.opportunistic.then_some("yes"));
        self.tls.print(printer).finish()
    }
}

impl From<StartTlsStep> for Step {
    fn from(step: StartTlsStep) -> Self {
        Self::StartTls(Box::new(step))
    }
}
