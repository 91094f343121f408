//! From what rustls says to an error that says what happened.

use rustls::{AlertDescription, Error};

use super::Role;
use super::fault::CertificateFault;
use super::words::{alert, incompatible, invalid, misbehaved, out_of_place};
use crate::printable::Printable;
use crate::stack::{LayerError, LayerErrorKind};

/// The error of a handshake or of traffic in this role, with the input that caused it at `front`.
pub(super) fn explain(error: Error, front: &[u8], role: Role) -> LayerError {
    let broke = |what: String| (LayerErrorKind::Protocol, format!("the peer broke the protocol: it sent {what}"));
    let (kind, message) = match &error {
        Error::InvalidMessage(_) if !front.is_empty() && !matches!(front[0], 20..=24) => {
            (LayerErrorKind::NotSpoken, format!("the peer is speaking plaintext, not TLS ({})", sample(front)))
        }
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) | Error::UnsupportedNameType => {
            let fault = CertificateFault::of(&error).map(|fault| fault.to_string()).unwrap_or_default();
            (LayerErrorKind::Certificate, format!("the peer's certificate is not accepted: {fault}"))
        }
        Error::NoCertificatesPresented => {
            (LayerErrorKind::Certificate, "the peer sent no certificate, and one is required".to_owned())
        }
        Error::AlertReceived(received) if role == Role::Client && is_about_a_certificate(*received) => {
            (LayerErrorKind::ClientCertificate, alert(*received))
        }
        Error::AlertReceived(received) => (LayerErrorKind::Refused, alert(*received)),
        Error::PeerIncompatible(why) => {
            (LayerErrorKind::Refused, format!("nothing in common with the peer: {}", incompatible(why)))
        }
        Error::NoApplicationProtocol => {
            let message = "nothing in common with the peer: it offers none of the application protocols (ALPN) that are \
                           served here";
            (LayerErrorKind::Refused, message.to_owned())
        }
        Error::General(words) => (LayerErrorKind::Unsupported, format!("TLS cannot go on: {words}")),
        Error::FailedToGetRandomBytes => (LayerErrorKind::Unsupported, "the system gives no random numbers".to_owned()),
        Error::EncryptError => (LayerErrorKind::Unsupported, "a record could not be encrypted".to_owned()),
        Error::HandshakeNotComplete => (LayerErrorKind::Unsupported, "the handshake is not done".to_owned()),
        Error::DecryptError => {
            let message = "the peer broke the protocol: cannot decrypt its record, which was changed on the way or is not \
                           meant for this layer";
            (LayerErrorKind::Protocol, message.to_owned())
        }
        Error::PeerSentOversizedRecord => broke("a record longer than TLS allows".to_owned()),
        Error::InvalidMessage(why) => broke(invalid(*why)),
        Error::PeerMisbehaved(why) => broke(misbehaved(why)),
        Error::Other(why) => (LayerErrorKind::Protocol, format!("the peer broke the protocol: {why}")),
        error => match out_of_place(error) {
            Some(what) => broke(what),
            None => (LayerErrorKind::Protocol, format!("the peer broke the protocol: {error}")),
        },
    };
    let is_other_protocol =
        kind == LayerErrorKind::NotSpoken || matches!(error, Error::InappropriateHandshakeMessage { .. });
    let explained = LayerError::new(kind, message).caused_by(error);
    if is_other_protocol { explained.instead(front) } else { explained }
}

/// Whether whoever sends this alert has looked at a certificate (RFC 8446 section 6.2): a server, at that of its client.
fn is_about_a_certificate(received: AlertDescription) -> bool {
    matches!(
        received,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

/// The beginning of what the peer said, made harmless.
fn sample(front: &[u8]) -> String {
    let line = front.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
    format!("it said {}", Printable::new(line).limit(SAMPLE).quoted())
}

const SAMPLE: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        AlertDescription, CertificateError, ContentType, HandshakeType, InvalidMessage, OtherError, PeerIncompatible,
        PeerMisbehaved,
    };

    use super::*;

    #[test]
    fn plaintext_is_named_and_quoted_safely() {
        let error = explain(InvalidMessage::InvalidContentType.into(), b"220 \x1b[31mhi\r\n250 more", Role::Client);
        assert!(error.is_not_spoken());
        assert_eq!(error.to_string(), "the peer is speaking plaintext, not TLS (it said \"220 \\x1b[31mhi\")");
    }

    #[test]
    fn an_issuer_that_is_not_trusted_is_said_in_words() {
        let error = explain(CertificateError::UnknownIssuer.into(), b"", Role::Client);
        assert!(error.is_certificate());
        assert!(error.to_string().contains("its issuer is none of the trust anchors"), "{error}");
    }

    /// What a name in the code of a library looks like: two capitals in one word, or the brackets of a structure.
    #[track_caller]
    fn assert_plain(text: &str) {
        const TRADE: [&str; 16] = [
            "ECDSA",
            "SHA",
            "PSS",
            "TLS",
            "RSA",
            "AES",
            "GCM",
            "ChaCha20",
            "Poly1305",
            "ECDHE",
            "ClientHello",
            "KeyUpdate",
            "ALPN",
            "OCSP",
            "CA:TRUE",
            "extendedKeyUsage",
        ];
        let mut rest = text.to_owned();
        for known in TRADE.iter().chain(&[
            "CA:FALSE",
            "basicConstraints",
            "subjectAltName",
            "X25519",
            "RFC",
            "HelloRetryRequest",
        ]) {
            rest = rest.replace(known, "");
        }
        for word in rest.split(|c: char| !c.is_ascii_alphanumeric()) {
            let inner = word.chars().skip(1).any(|c| c.is_ascii_uppercase());
            assert!(!inner, "{word:?} in {text:?}");
        }
        assert!(!text.contains(['{', '}', '[', ']']), "{text:?}");
        assert!(text.len() < 250, "{} bytes: {text}", text.len());
    }

    #[test]
    fn alerts_about_a_certificate_are_about_that_of_a_client_if_a_server_sends_them() {
        use AlertDescription as A;
        let kind = |alert, role| explain(Error::AlertReceived(alert), b"", role).kind();
        for about in [A::CertificateRequired, A::BadCertificate, A::UnknownCA, A::AccessDenied, A::CertificateExpired] {
            assert_eq!(kind(about, Role::Client), LayerErrorKind::ClientCertificate, "{about:?}");
            assert_eq!(kind(about, Role::Server), LayerErrorKind::Refused, "{about:?}");
        }
        for other in [A::HandshakeFailure, A::UnrecognisedName, A::NoApplicationProtocol, A::DecryptError] {
            assert_eq!(kind(other, Role::Client), LayerErrorKind::Refused, "{other:?}");
        }
    }

    #[test]
    fn no_message_has_the_name_of_a_type_in_it() {
        let alerts = (0..=255).map(|number| Error::AlertReceived(AlertDescription::from(number)));
        let invalid = [
            InvalidMessage::CertificatePayloadTooLarge,
            InvalidMessage::HandshakePayloadTooLarge,
            InvalidMessage::InvalidCcs,
            InvalidMessage::InvalidContentType,
            InvalidMessage::InvalidCertificateStatusType,
            InvalidMessage::InvalidCertRequest,
            InvalidMessage::InvalidDhParams,
            InvalidMessage::InvalidEmptyPayload,
            InvalidMessage::InvalidKeyUpdate,
            InvalidMessage::InvalidServerName,
            InvalidMessage::MessageTooLarge,
            InvalidMessage::MessageTooShort,
            InvalidMessage::MissingData("alert"),
            InvalidMessage::MissingKeyExchange,
            InvalidMessage::NoSignatureSchemes,
            InvalidMessage::TrailingData("alert"),
            InvalidMessage::UnexpectedMessage("alert"),
            InvalidMessage::UnknownProtocolVersion,
            InvalidMessage::UnsupportedCompression,
            InvalidMessage::UnsupportedCurveType,
            InvalidMessage::EmptyTicketValue,
            InvalidMessage::IllegalEmptyList("alert"),
            InvalidMessage::DuplicateExtension(5),
            InvalidMessage::PreSharedKeyIsNotFinalExtension,
            InvalidMessage::UnknownCertificateExtension,
        ];
        let incompatible = [
            PeerIncompatible::EcPointsExtensionRequired,
            PeerIncompatible::ExtendedMasterSecretExtensionRequired,
            PeerIncompatible::IncorrectCertificateTypeExtension,
            PeerIncompatible::KeyShareExtensionRequired,
            PeerIncompatible::NamedGroupsExtensionRequired,
            PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon,
            PeerIncompatible::NoCipherSuitesInCommon,
            PeerIncompatible::NoEcPointFormatsInCommon,
            PeerIncompatible::NoKxGroupsInCommon,
            PeerIncompatible::NoSignatureSchemesInCommon,
            PeerIncompatible::NullCompressionRequired,
            PeerIncompatible::ServerDoesNotSupportTls12Or13,
            PeerIncompatible::ServerSentHelloRetryRequestWithUnknownExtension,
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            PeerIncompatible::SignatureAlgorithmsExtensionRequired,
            PeerIncompatible::SupportedVersionsExtensionRequired,
            PeerIncompatible::Tls12NotOffered,
            PeerIncompatible::Tls12NotOfferedOrEnabled,
            PeerIncompatible::Tls13RequiredForQuic,
            PeerIncompatible::UncompressedEcPointsRequired,
            PeerIncompatible::UnsolicitedCertificateTypeExtension,
            PeerIncompatible::ServerRejectedEncryptedClientHello(None),
        ];
        let misbehaved = [
            PeerMisbehaved::MessageInterleavedWithHandshakeMessage,
            PeerMisbehaved::TooManyEmptyFragments,
            PeerMisbehaved::IllegalTlsInnerPlaintext,
            PeerMisbehaved::SelectedUnofferedPsk,
            PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported,
        ];
        let certificate = [
            CertificateError::BadEncoding,
            CertificateError::Expired,
            CertificateError::NotValidYet,
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList,
            CertificateError::BadSignature,
            CertificateError::NotValidForName,
            CertificateError::InvalidPurpose,
            CertificateError::InvalidOcspResponse,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0],
                supported_algorithms: Vec::new(),
            },
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: Vec::new(),
                public_key_algorithm_id: vec![6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 10],
            },
        ];
        let webpki = [
            webpki::Error::CaUsedAsEndEntity,
            webpki::Error::EndEntityUsedAsCa,
            webpki::Error::UnsupportedCertVersion,
            webpki::Error::UnsupportedCriticalExtension,
            webpki::Error::PathLenConstraintViolated,
            webpki::Error::NameConstraintViolation,
            webpki::Error::MaximumPathDepthExceeded,
            webpki::Error::SignatureAlgorithmMismatch,
            webpki::Error::EmptyEkuExtension,
            webpki::Error::CertDistrusted,
        ];
        let webpki = webpki.map(|error| CertificateError::Other(OtherError(Arc::new(error))).into());
        let others = [
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::FailedToGetRandomBytes,
            Error::InvalidCertRevocationList(rustls::CertRevocationListError::ParseError),
            Error::InappropriateMessage { expect_types: Vec::new(), got_type: ContentType::ChangeCipherSpec },
            Error::InappropriateHandshakeMessage { expect_types: Vec::new(), got_type: HandshakeType::HelloRequest },
        ];
        let errors = alerts
            .chain(invalid.map(Error::from))
            .chain(incompatible.map(Error::from))
            .chain(misbehaved.map(Error::from))
            .chain(certificate.map(Error::from))
            .chain(webpki)
            .chain(others);
        for error in errors {
            let explained = explain(error, b"", Role::Client).to_string();
            assert_plain(&explained);
        }
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_with_what_to_do() {
        use rustls::pki_types::{ServerName, UnixTime};
        let day = |day: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(day * 86_400));
        let other = |error: webpki::Error| CertificateError::Other(OtherError(Arc::new(error)));
        for (error, expected) in [
            (
                CertificateError::ExpiredContext { time: day(20_788), not_after: day(20_728) },
                "it expired on 2026-10-02, 60 days ago: renew it",
            ),
            (
                CertificateError::NotValidYetContext { time: day(20_788), not_before: day(20_789) },
                "it is valid from 2026-12-02 on, in 1 day: look whether the clocks are right",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("a.example").unwrap(),
                    presented: vec!["DnsName(\"b.example\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()],
                },
                "it does not stand for \"a.example\", only for b.example and 127.0.0.1",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("a.example").unwrap(),
                    presented: Vec::new(),
                },
                "it does not stand for \"a.example\", nor for any other name (subjectAltName)",
            ),
            (
                other(webpki::Error::CaUsedAsEndEntity),
                "it is that of an authority (CA:TRUE), which may not speak for a host: trust this very certificate, or make \
                 one with basicConstraints=CA:FALSE",
            ),
        ] {
            let explained = explain(error.into(), b"", Role::Client).to_string();
            assert_eq!(explained, format!("the peer's certificate is not accepted: {expected}"));
        }
    }
}
