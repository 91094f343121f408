//! From what rustls says to an error that says what happened.

use rustls::{CertificateError, Error};

use crate::printable::Printable;
use crate::stack::{LayerError, LayerErrorKind};

/// The error of a handshake or of traffic, with the input that caused it at `front`.
pub(super) fn explain(error: Error, front: &[u8]) -> LayerError {
    let (kind, message) = match &error {
        Error::InvalidMessage(_) if !front.is_empty() && !matches!(front[0], 20..=24) => {
            (LayerErrorKind::NotSpoken, format!("the peer is speaking plaintext, not TLS ({})", sample(front)))
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let message =
                "the peer's certificate is not accepted: its issuer is none of the trust anchors (UnknownIssuer)";
            (LayerErrorKind::Certificate, message.to_owned())
        }
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) | Error::UnsupportedNameType => {
            (LayerErrorKind::Certificate, format!("the peer's certificate is not accepted: {error}"))
        }
        Error::NoCertificatesPresented => {
            (LayerErrorKind::Certificate, "the peer sent no certificate, and one is required".to_owned())
        }
        Error::AlertReceived(alert) => (LayerErrorKind::Refused, format!("the peer refused: alert {alert:?}")),
        Error::PeerIncompatible(_) => (LayerErrorKind::Refused, format!("nothing in common with the peer: {error}")),
        Error::General(_) | Error::FailedToGetRandomBytes | Error::EncryptError | Error::HandshakeNotComplete => {
            (LayerErrorKind::Unsupported, error.to_string())
        }
        _ => (LayerErrorKind::Protocol, format!("the peer broke the protocol: {error}")),
    };
    LayerError::new(kind, message).caused_by(error)
}

/// The beginning of what the peer said, made harmless.
fn sample(front: &[u8]) -> String {
    let line = front.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
    format!("it said {}", Printable::new(line).limit(SAMPLE).quoted())
}

const SAMPLE: usize = 32;

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;

    #[test]
    fn plaintext_is_named_and_quoted_safely() {
        let error = explain(InvalidMessage::InvalidContentType.into(), b"220 \x1b[31mhi\r\n250 more");
        assert!(error.is_not_spoken());
        assert_eq!(error.to_string(), "the peer is speaking plaintext, not TLS (it said \"220 \\x1b[31mhi\")");
    }

    #[test]
    fn an_issuer_that_is_not_trusted_is_said_in_words() {
        let error = explain(CertificateError::UnknownIssuer.into(), b"");
        assert!(error.is_certificate());
        assert!(error.to_string().contains("its issuer is none of the trust anchors"), "{error}");
    }
}
