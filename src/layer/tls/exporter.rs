//! Keys for others out of a handshake, and names for a connection: exporters and channel bindings.
//!
//! Who logs in *inside* TLS can bind that to the very connection, so that nobody who sits between two of them can pass a login on.
//! Both sides derive the same bytes from the handshake, which nobody else can:
//!
//! ```text
//!   TLS 1.3  exporter master secret ── label ──► secret ── "exporter", Hash(context) ──► bytes    RFC 8446 section 7.5
//!   TLS 1.2  master secret ── label, both randoms, context ──► bytes                              RFC 5705 section 4
//! ```
//!
//! rustls does that for its buffered connections and not for those that this crate uses, but it tells the secrets to its key log
//! (`aside.rs`). HKDF and PRF are those of the provider. The secret stays here, is shown to nobody, and is wiped with the layer.
//!
//! Without an extended master secret (RFC 7627) two connections of TLS 1.2 can be made to have the same, so nothing is derived then.

use std::fmt;

use rustls::crypto::tls13::OkmBlock;
use rustls::{SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};

use super::aside::Secret;
use super::config::Version;
use super::server_hello::ServerHello;
use crate::stack::{LayerError, LayerErrorKind};

/// A name for a TLS connection that both sides know (RFC 5056), as mechanisms with `-PLUS` take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelBinding {
    /// `tls-exporter` (RFC 9266): 32 bytes that no other connection has.
    Exporter,
    /// `tls-server-end-point` (RFC 5929 section 4): a digest of the server's certificate. It is the same for all connections to
    /// that server, and so works where TLS ends in front of it.
    ServerEndPoint,
}

impl ChannelBinding {
    /// Its name in IANA's registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exporter => "tls-exporter",
            Self::ServerEndPoint => "tls-server-end-point",
        }
    }
}

impl fmt::Display for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What keys for others are derived from.
pub(super) enum Exporter {
    Tls13 {
        suite: &'static Tls13CipherSuite,
        secret: OkmBlock,
    },
    Tls12 {
        suite: &'static Tls12CipherSuite,
        master_secret: OkmBlock,
        /// The client's, and the server's.
        randoms: [[u8; 32]; 2],
    },
    /// TLS 1.2 without an extended master secret.
    Unsafe,
}

impl Exporter {
    /// Out of what was overheard of a handshake. `None` if something is missing, which is so with no handshake that is done.
    pub(super) fn of(suite: SupportedCipherSuite, secret: Secret, hello: Option<ServerHello>) -> Option<Self> {
        match (suite, secret.version) {
            (SupportedCipherSuite::Tls13(suite), Version::Tls13) => Some(Self::Tls13 { suite, secret: secret.secret }),
            (SupportedCipherSuite::Tls12(suite), Version::Tls12) => {
                let ServerHello { random, extended_master_secret } = hello?;
                let randoms = [secret.client_random, random];
                Some(match extended_master_secret {
                    true => Self::Tls12 { suite, master_secret: secret.secret, randoms },
                    false => Self::Unsafe,
                })
            }
            _ => None,
        }
    }

    pub(super) fn derive(&self, output: &mut [u8], label: &[u8], context: Option<&[u8]>) -> Result<(), LayerError> {
        if output.is_empty() {
            return Err(impossible("no bytes of keying material were asked for"));
        }
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(impossible("the label of keying material has 1 to 249 bytes"));
        }
        if context.is_some_and(|context| context.len() > usize::from(u16::MAX)) {
            return Err(impossible("the context of keying material has at most 65,535 bytes"));
        }
        match self {
            Self::Tls13 { suite, secret } => {
                let (hash, hkdf) = (suite.common.hash_provider, suite.hkdf_provider);
                let secret = hkdf.expander_for_okm(secret);
                let length = u16::try_from(secret.hash_len()).unwrap_or_default();
                let labelled = expand_label(length, label, hash.hash(&[]).as_ref(), |info| secret.expand_block(info));
                let labelled = hkdf.expander_for_okm(&labelled);
                let too_much = || impossible("that is more keying material than can be derived at once (RFC 5869)");
                let length = u16::try_from(output.len()).map_err(|_| too_much())?;
                let context = hash.hash(context.unwrap_or_default());
                expand_label(length, b"exporter", context.as_ref(), |info| labelled.expand_slice(info, output))
                    .map_err(|_| too_much())
            }
            Self::Tls12 { suite, master_secret, randoms } => {
                let mut seed = randoms.concat();
                if let Some(context) = context {
                    // Its length was looked at above. No context is not the same as an empty one here.
                    seed.extend(u16::try_from(context.len()).unwrap_or_default().to_be_bytes());
                    seed.extend(context);
                }
                suite.prf_provider.for_secret(output, master_secret.as_ref(), label, &seed);
                Ok(())
            }
            Self::Unsafe => {
                let message =
                    "keying material needs the extended master secret (RFC 7627), which the peer does not have";
                Err(impossible(message))
            }
        }
    }

    /// `tls-exporter`.
    pub(super) fn binding(&self) -> Result<Vec<u8>, LayerError> {
        let mut binding = vec![0; 32];
        self.derive(&mut binding, b"EXPORTER-Channel-Binding", Some(&[]))?;
        Ok(binding)
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// HKDF-Expand-Label (RFC 8446 section 7.1).
fn expand_label<T>(length: u16, label: &[u8], context: &[u8], expand: impl FnOnce(&[&[u8]]) -> T) -> T {
    let counted = |bytes: &[u8]| [u8::try_from(bytes.len()).unwrap_or(u8::MAX)];
    let label = [PREFIX, label].concat();
    expand(&[&length.to_be_bytes(), &counted(&label), &label, &counted(context), context])
}

/// The error for what cannot be derived.
pub(super) fn impossible(message: &str) -> LayerError {
    LayerError::new(LayerErrorKind::Unsupported, message)
}

const PREFIX: &[u8] = b"tls13 ";

/// With its prefix it has 255.
const MAX_LABEL: usize = 249;
