//! What rustls says aside, while it reads a handshake, to those that a configuration names for it, and keeps nowhere.
//!
//! | what | whom it tells |
//! |---|---|
//! | the answer of OCSP that a server has stapled to its certificate (RFC 6066 section 8) | who verifies the certificate |
//! | the secret that keys for others are derived from (RFC 8446 section 7.5) | the key log |
//! | the certificate that a server shows | who chooses it |
//!
//! One of each serves all connections of a configuration, and must: sessions are resumed only where the verifier is the same. So
//! none of them can know whose handshake it hears. They are called in the middle of reading a record though, on the same
//! thread, and whoever reads that record waits for it here. Where nobody waits nothing is kept, least of all a secret.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use rustls::KeyLog;
use rustls::crypto::tls13::OkmBlock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::Version;

/// What was said aside while a handshake was read.
#[derive(Default)]
pub(super) struct Aside {
    pub(super) ocsp_response: Option<Vec<u8>>,
    pub(super) secret: Option<Secret>,
    pub(super) own_certificate: Option<Arc<CertifiedKey>>,
}

impl Aside {
    /// What was said later, too.
    pub(super) fn add(&mut self, later: Self) {
        let Self { ocsp_response, secret, own_certificate } = later;
        self.ocsp_response = ocsp_response.or(self.ocsp_response.take());
        self.secret = secret.or(self.secret.take());
        self.own_certificate = own_certificate.or(self.own_certificate.take());
    }
}

/// The exporter master secret of TLS 1.3, or the master secret of TLS 1.2. It is wiped when it is dropped.
pub(super) struct Secret {
    pub(super) version: Version,
    pub(super) client_random: [u8; 32],
    pub(super) secret: OkmBlock,
}

/// What is said aside while `read` is reading, beside what comes of that.
pub(super) fn overhear<T>(read: impl FnOnce() -> T) -> (T, Aside) {
    let before = SAID.replace(Some(Aside::default()));
    let result = read();
    (result, SAID.replace(before).unwrap_or_default())
}

/// Says something to who waits for it.
fn say(what: impl FnOnce(&mut Aside)) {
    SAID.with_borrow_mut(|said| {
        if let Some(said) = said {
            what(said);
        }
    });
}

/// What a server has stapled to its certificate.
pub(super) fn stapled(response: &[u8]) {
    if !response.is_empty() {
        say(|said| said.ocsp_response = Some(response.to_vec()));
    }
}

/// A key log that says the secrets which keys are derived from aside, and hands on to the one that was asked for what that one
/// takes, and nothing else.
#[derive(Debug)]
pub(super) struct Secrets(pub(super) Arc<dyn KeyLog>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if let (Some(version), Ok(client_random)) = (version_of(label), client_random.try_into())
            && secret.len() <= OkmBlock::MAX_LEN
        {
            say(|said| said.secret = Some(Secret { version, client_random, secret: OkmBlock::new(secret) }));
        }
        if self.0.will_log(label) {
            self.0.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        version_of(label).is_some() || self.0.will_log(label)
    }
}

/// The version whose keys for others come from the secret of this label.
fn version_of(label: &str) -> Option<Version> {
    match label {
        "EXPORTER_SECRET" => Some(Version::Tls13),
        "CLIENT_RANDOM" => Some(Version::Tls12),
        _ => None,
    }
}

/// Says aside which certificate was chosen.
#[derive(Debug)]
pub(super) struct Certificates(pub(super) Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.0.resolve(hello);
        say(|said| said.own_certificate.clone_from(&chosen));
        chosen
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").finish_non_exhaustive()
    }
}

thread_local! {
    /// None where nobody waits.
    static SAID: RefCell<Option<Aside>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<String>>);

    impl KeyLog for Log {
        fn log(&self, label: &str, _: &[u8], _: &[u8]) {
            self.0.lock().unwrap().push(label.to_owned());
        }

        fn will_log(&self, label: &str) -> bool {
            label.starts_with("CLIENT")
        }
    }

    #[test]
    fn a_secret_is_kept_for_who_waits_and_a_log_gets_what_it_takes() {
        let log = Arc::new(Log::default());
        let secrets = Secrets(Arc::<Log>::clone(&log));
        let tell = |label| secrets.log(label, &[1; 32], &[2; 48]);
        // Nobody waits.
        tell("EXPORTER_SECRET");
        let ((), said) = overhear(|| ());
        assert!(said.secret.is_none());
        let ((), said) = overhear(|| tell("EXPORTER_SECRET"));
        let secret = said.secret.unwrap();
        assert_eq!(
            (secret.version, secret.client_random, secret.secret.as_ref()),
            (Version::Tls13, [1; 32], &[2; 48][..])
        );
        let ((), said) = overhear(|| {
            tell("CLIENT_TRAFFIC_SECRET_0");
            tell("CLIENT_RANDOM");
        });
        assert_eq!(said.secret.unwrap().version, Version::Tls12);
        assert_eq!(*log.0.lock().unwrap(), ["CLIENT_TRAFFIC_SECRET_0", "CLIENT_RANDOM"]);
        assert!(secrets.will_log("EXPORTER_SECRET") && !secrets.will_log("SERVER_TRAFFIC_SECRET_0"));
    }
}
