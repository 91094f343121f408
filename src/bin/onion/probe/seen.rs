//! Watching a handshake from all sides, so that something is known of it when it fails: what the server says in clear, the
//! certificates that it shows, and whether it asks for ours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onionskin::rustls::client::ResolvesClientCert;
use onionskin::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use onionskin::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use onionskin::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use onionskin::rustls::sign::CertifiedKey;
use onionskin::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use onionskin::stack::{End, Ends, Failure, Layer, LayerError, Queue, Way};
use onionskin::tls::default_provider;

use super::flight::Flight;

/// What was seen of one handshake. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Sight>>);

#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) flight: Flight,
    /// The server's own first; empty where certificates are verified, as whoever does that keeps them.
    chain: Vec<CertificateDer<'static>>,
    asks_for_certificate: bool,
    /// Whether the server has agreed to start TLS, where it has to be asked for.
    pub(super) is_agreed: bool,
    /// Why the server's signature could not be verified, where everything is accepted.
    pub(super) signature: Option<Error>,
}

impl Seen {
    pub(super) fn lock(&self) -> MutexGuard<'_, Sight> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A layer to go right below TLS.
    pub(super) fn tap(&self) -> Tap {
        Tap(self.clone())
    }

    /// Has it seen when a client certificate is asked for.
    pub(super) fn watch(&self, config: &mut ClientConfig) {
        let resolver = Arc::clone(&config.client_auth_cert_resolver);
        config.client_auth_cert_resolver = Arc::new(Resolver { resolver, seen: self.clone() });
    }

    /// Accepts whatever the server shows, even where it cannot prove that it is its own, and keeps it.
    pub(super) fn accept_everything(&self, config: &mut ClientConfig) {
        if let Ok(provider) = default_provider() {
            config.dangerous().set_certificate_verifier(Arc::new(AcceptEverything { provider, seen: self.clone() }));
        }
    }
}

impl Sight {
    /// The server's certificates, its own first.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        if self.chain.is_empty() { &self.flight.chain } else { &self.chain }
    }

    pub(super) fn asks_for_certificate(&self) -> bool {
        self.asks_for_certificate || self.flight.asks_for_certificate
    }
}

/// A layer that listens to the server, and changes nothing.
#[derive(Debug)]
pub(super) struct Tap(Seen);

impl Layer for Tap {
    fn name(&self) -> &'static str {
        "tap"
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Way { from, to } = ends.all().inbound;
        self.listen(from, to);
        Ok(())
    }

    fn detach(&mut self, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        Ok(())
    }
}

impl Tap {
    fn listen(&self, from: &mut Queue<End>, to: &mut Queue<End>) {
        loop {
            let count = from.front().len().min(to.room());
            let passed = &from.front()[..count];
            self.0.lock().flight.push(passed);
            to.push(passed);
            from.consume(count);
            let Some(mark) = from.take_mark() else { return };
            to.push_mark(mark);
        }
    }
}

/// Answers as another does, and has it seen that it was asked.
#[derive(Debug)]
struct Resolver {
    resolver: Arc<dyn ResolvesClientCert>,
    seen: Seen,
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.seen.lock().asks_for_certificate = true;
        self.resolver.resolve(issuers, schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.resolver.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.resolver.has_certs()
    }
}

/// A certificate is shown even if its key is too short for the provider to verify anything with.
#[derive(Debug)]
struct AcceptEverything {
    provider: Arc<CryptoProvider>,
    seen: Seen,
}

impl AcceptEverything {
    fn accept(&self, verified: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
        if let Err(error) = verified {
            self.seen.lock().signature = Some(error);
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for AcceptEverything {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = [end_entity].into_iter().chain(intermediates);
        self.seen.lock().chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.accept(verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.accept(verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
