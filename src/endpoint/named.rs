//! The part of a `tls` step that is about one name of a server.
//!
//! ```text
//! tls:cert=public.pem:key=public.key:alpn=h2:for=inside.example:cert=inside.pem:key=inside.key:client-ca=staff.pem:for=...
//!     └──────── for every client ──────────┘ └──────────────── for those that ask for this name ────────────────┘
//! ```
//!
//! Whatever stands behind `for` is about that name, up to the next `for` or the end of the step. So an order that could be read in
//! two ways is none: a key that is for all names is unknown there.

use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;

use super::arguments::{Arguments, Printer, choice, host, path};
use super::error::{ErrorKind, ParseError};
use super::grammar::Word;
use super::step::{ACCEPT, CLIENT_AUTH, ClientAuth, TlsStep};

/// What a server of TLS does otherwise for clients that ask for one name (SNI, RFC 6066 section 3): the key `for` of a step, with
/// those behind it.
///
/// It shows the certificates that are here, or those of the step if there are none here. Of its clients it wants what is
/// here, or what the step says if nothing of that kind is here. Everything else is as in the step. A session of one name is
/// resumed under no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NamedServer {
    /// `for`: the DNS name, in lower case.
    pub name: String,
    /// `cert`: as [`TlsStep::certificate`], and so on.
    pub certificate: Option<PathBuf>,
    /// `key`
    pub private_key: Option<PathBuf>,
    /// `ocsp`
    pub ocsp_response: Option<PathBuf>,
    /// `second-cert`
    pub second_certificate: Option<PathBuf>,
    /// `second-key`
    pub second_private_key: Option<PathBuf>,
    /// `second-ocsp`
    pub second_ocsp_response: Option<PathBuf>,
    /// `client-ca`
    pub client_trust_anchors: Option<PathBuf>,
    /// `crl`
    pub revocation_lists: Vec<PathBuf>,
    /// `crl-unknown=accept`
    pub accept_unknown_revocation: bool,
    /// `crl-expired=accept`
    pub accept_expired_lists: bool,
    /// `client-auth`
    pub client_auth: Option<ClientAuth>,
}

impl NamedServer {
    pub(super) const KEY: &'static str = "for";

    /// For this name, with nothing that is otherwise.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into().to_ascii_lowercase(),
            certificate: None,
            private_key: None,
            ocsp_response: None,
            second_certificate: None,
            second_private_key: None,
            second_ocsp_response: None,
            client_trust_anchors: None,
            revocation_lists: Vec::new(),
            accept_unknown_revocation: false,
            accept_expired_lists: false,
            client_auth: None,
        }
    }

    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.certificate, &self.private_key, &self.ocsp_response, &self.client_trust_anchors];
        let second = [&self.second_certificate, &self.second_private_key, &self.second_ocsp_response];
        own.into_iter().chain(second).flatten().chain(&self.revocation_lists).map(PathBuf::as_path)
    }

    /// All that a step has, to be read before its other keys.
    pub(super) fn read_all(arguments: &mut Arguments) -> Result<Vec<Self>, ParseError> {
        let mut all: Vec<Self> = Vec::new();
        for (word, arguments) in arguments.sections(Self::KEY, "for=NAME:cert=PEM:key=PEM") {
            let position = word.position;
            let named = Self::read(word, arguments)?;
            if all.iter().any(|other| other.name == named.name) {
                let message = format!("`for` is given twice for {:?}", named.name);
                return Err(ParseError::new(ErrorKind::DuplicateKey, position, message));
            }
            all.push(named);
        }
        Ok(all)
    }

    fn read(word: Word, mut arguments: Arguments) -> Result<Self, ParseError> {
        let position = word.position;
        let name = dns_name(&word.host()?).map_err(|why| ParseError::new(ErrorKind::InvalidValue, position, why))?;
        if arguments.is_empty() {
            return Err(arguments.missing(&format!("what is otherwise for {name:?}")));
        }
        let lists = arguments.keys("crl").into_iter().map(Word::path);
        let named = Self {
            name,
            certificate: arguments.key("cert", Word::path)?,
            private_key: arguments.key("key", Word::path)?,
            ocsp_response: arguments.key("ocsp", Word::path)?,
            second_certificate: arguments.key("second-cert", Word::path)?,
            second_private_key: arguments.key("second-key", Word::path)?,
            second_ocsp_response: arguments.key("second-ocsp", Word::path)?,
            client_trust_anchors: arguments.key("client-ca", Word::path)?,
            revocation_lists: lists.collect::<Result<_, _>>()?,
            accept_unknown_revocation: arguments.key("crl-unknown", |word| word.choice(&ACCEPT))?.is_some(),
            accept_expired_lists: arguments.key("crl-expired", |word| word.choice(&ACCEPT))?.is_some(),
            client_auth: arguments.key("client-auth", |word| word.choice(&CLIENT_AUTH))?,
        };
        arguments.finish()?;
        Ok(named)
    }

    /// `for` and the keys behind it.
    pub(super) fn print<'a, 'f>(&self, printer: Printer<'a, 'f>) -> Printer<'a, 'f> {
        let file = |file: &Option<PathBuf>| file.as_deref().map(|file| path(file).to_string());
        let accept = |is_accepted: bool| is_accepted.then_some("accept");
        let printer = printer
            .key(Self::KEY, Some(host(&self.name)))
            .key("cert", file(&self.certificate))
            .key("key", file(&self.private_key))
            .key("ocsp", file(&self.ocsp_response))
            .key("second-cert", file(&self.second_certificate))
            .key("second-key", file(&self.second_private_key))
            .key("second-ocsp", file(&self.second_ocsp_response))
            .key("client-ca", file(&self.client_trust_anchors));
        let lists = self.revocation_lists.iter();
        lists
            .fold(printer, |printer, list| printer.key("crl", Some(path(list))))
            .key("crl-unknown", accept(self.accept_unknown_revocation))
            .key("crl-expired", accept(self.accept_expired_lists))
            .key("client-auth", self.client_auth.as_ref().map(|auth| choice(auth, &CLIENT_AUTH)))
    }

    /// The step of a server that has this name alone.
    pub(super) fn of(&self, step: &TlsStep) -> TlsStep {
        let mut own = TlsStep { named: Vec::new(), ..step.clone() };
        if self.has_certificates() {
            own.certificate.clone_from(&self.certificate);
            own.private_key.clone_from(&self.private_key);
            own.ocsp_response.clone_from(&self.ocsp_response);
            own.second_certificate.clone_from(&self.second_certificate);
            own.second_private_key.clone_from(&self.second_private_key);
            own.second_ocsp_response.clone_from(&self.second_ocsp_response);
        }
        if self.has_demands() {
            own.client_trust_anchors.clone_from(&self.client_trust_anchors);
            own.revocation_lists.clone_from(&self.revocation_lists);
            own.accept_unknown_revocation = self.accept_unknown_revocation;
            own.accept_expired_lists = self.accept_expired_lists;
            own.client_auth = self.client_auth;
        }
        own
    }

    fn has_certificates(&self) -> bool {
        let own = [&self.certificate, &self.private_key, &self.ocsp_response];
        let second = [&self.second_certificate, &self.second_private_key, &self.second_ocsp_response];
        own.into_iter().chain(second).any(Option::is_some)
    }

    fn has_demands(&self) -> bool {
        self.client_trust_anchors.is_some()
            || !self.revocation_lists.is_empty()
            || self.accept_unknown_revocation
            || self.accept_expired_lists
            || self.client_auth.is_some()
    }
}

/// The name as clients ask for it, or why none of them can.
fn dns_name(name: &str) -> Result<String, String> {
    match ServerName::try_from(name) {
        Ok(ServerName::DnsName(_)) if !name.ends_with('.') => Ok(name.to_ascii_lowercase()),
        Ok(ServerName::DnsName(_)) => {
            Err(format!("for: write {name:?} without the dot at its end, as clients ask for it"))
        }
        Ok(_) => Err(format!("for: no client asks for the address {name:?}: write a DNS name")),
        Err(_) => Err(format!("for: {name:?} is no DNS name")),
    }
}
