//! What rustls says, in words: it prints the names of its types, which say nothing to somebody whose connection failed.

use rustls::{AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerIncompatible, PeerMisbehaved};

/// Why there is nothing in common with the peer, and what to do.
pub(super) fn incompatible(error: &PeerIncompatible) -> String {
    use PeerIncompatible as E;
    let words = match error {
        E::NoCipherSuitesInCommon => {
            "no cipher suite in common: the peer must allow AES-GCM or ChaCha20-Poly1305, in TLS 1.2 with ECDHE"
        }
        E::NoKxGroupsInCommon | E::NamedGroupsExtensionRequired | E::KeyShareExtensionRequired => {
            "no group for the key exchange in common: the peer must allow X25519, P-256 or P-384"
        }
        E::NoSignatureSchemesInCommon => {
            "no signature scheme in common: the peer does not take the kind of key that the certificate has; use RSA, or \
             ECDSA on P-256"
        }
        E::NoCertificateRequestSignatureSchemesInCommon => {
            "the peer asks for a certificate, and takes none of the signature schemes that are known here"
        }
        E::SignatureAlgorithmsExtensionRequired => "the peer does not say which signature schemes it takes",
        E::ServerDoesNotSupportTls12Or13 => "the server speaks neither TLS 1.2 nor TLS 1.3: it must be updated",
        E::ServerTlsVersionIsDisabledByOurConfig => {
            "the server speaks only a version of TLS that is switched off here: allow it here, or another one there"
        }
        E::SupportedVersionsExtensionRequired => {
            "the client does not speak TLS 1.3, the only version that is allowed here: allow TLS 1.2, or update the client"
        }
        E::Tls12NotOffered => "the client speaks neither TLS 1.2 nor TLS 1.3: it must be updated",
        E::Tls12NotOfferedOrEnabled => {
            "the client speaks no version of TLS that is allowed here: allow another one, or update the client"
        }
        E::ExtendedMasterSecretExtensionRequired => {
            "the peer does not do the extended master secret (RFC 7627), which is required here"
        }
        E::NoEcPointFormatsInCommon | E::EcPointsExtensionRequired | E::UncompressedEcPointsRequired => {
            "the peer does not take uncompressed points of elliptic curves, which everybody must (RFC 8422)"
        }
        E::NullCompressionRequired => "the peer insists on compression inside TLS, which is not safe",
        E::IncorrectCertificateTypeExtension | E::UnsolicitedCertificateTypeExtension => {
            "the peer wants raw public keys in place of certificates, or the other way round"
        }
        E::ServerRejectedEncryptedClientHello(_) => "the server does not take the encrypted ClientHello",
        E::ServerSentHelloRetryRequestWithUnknownExtension => "the server wants something that is not known here",
        other => return spaced(&format!("{other:?}")),
    };
    words.to_owned()
}

/// What is wrong with a message or a record.
pub(super) fn invalid(error: InvalidMessage) -> String {
    use InvalidMessage as E;
    match error {
        E::InvalidContentType => "a record of a type that does not exist".to_owned(),
        E::UnknownProtocolVersion => "a record of a version that is no TLS".to_owned(),
        E::MessageTooLarge => "a record longer than TLS allows".to_owned(),
        E::MessageTooShort => "a message that is too short".to_owned(),
        E::HandshakePayloadTooLarge => "a handshake message that is too long".to_owned(),
        E::CertificatePayloadTooLarge => "a certificate chain that is too long: send only what is needed".to_owned(),
        E::InvalidEmptyPayload => "a record without content where there must be some".to_owned(),
        E::InvalidKeyUpdate => "a KeyUpdate that is none".to_owned(),
        E::InvalidServerName => "a server name that is none".to_owned(),
        E::InvalidCcs => "a change_cipher_spec that is none".to_owned(),
        E::MissingData(what) => format!("a message that ends too early, in its part {what}"),
        E::TrailingData(what) => format!("a message with something behind its end, in its part {what}"),
        E::IllegalEmptyList(what) => format!("a list without entries, {what}"),
        E::UnexpectedMessage(what) => format!("an unexpected message, {what}"),
        E::DuplicateExtension(number) => format!("the extension {number} twice"),
        E::UnsupportedKeyExchangeAlgorithm(_) => "a key exchange that is not known here".to_owned(),
        other => spaced(&format!("{other:?}")),
    }
}

/// Which rule the peer broke.
pub(super) fn misbehaved(error: &PeerMisbehaved) -> String {
    use PeerMisbehaved as E;
    let words = match error {
        E::MessageInterleavedWithHandshakeMessage | E::RejectedEarlyDataInterleavedWithHandshakeMessage => {
            "something else between the parts of a handshake message"
        }
        E::KeyEpochWithPendingFragment => "new keys in the middle of a message",
        E::TooManyEmptyFragments => "too many empty records",
        E::TooManyKeyUpdateRequests => "too many key updates",
        E::TooManyWarningAlertsReceived => "too many alerts that mean nothing",
        E::TooManyRenegotiationRequests => "too many requests to renegotiate",
        E::IllegalTlsInnerPlaintext => "a record that holds nothing but padding, or too much",
        E::AttemptedDowngradeToTls12WhenTls13IsSupported => {
            "TLS 1.2 although both sides speak TLS 1.3: somebody in between has changed the handshake"
        }
        E::SignedHandshakeWithUnadvertisedSigScheme | E::SignedKxWithWrongAlgorithm => {
            "a signature of a kind that was not offered"
        }
        E::SelectedUnofferedCipherSuite | E::SelectedUnusableCipherSuiteForVersion => {
            "the choice of a cipher suite that was not offered"
        }
        E::SelectedUnofferedApplicationProtocol => "the choice of an application protocol that was not offered",
        other => return spaced(&format!("{other:?}")),
    };
    words.to_owned()
}

/// What the peer sent that has no place there.
pub(super) fn out_of_place(error: &Error) -> Option<String> {
    match error {
        Error::InappropriateMessage { got_type, .. } => {
            Some(format!("an unexpected record, {}", content_type(*got_type)))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            Some(format!("an unexpected handshake message, {}", handshake_type(*got_type)))
        }
        _ => None,
    }
}

/// What an alert of the peer means, with its name.
pub(crate) fn alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let name = alert_name(alert);
    let meaning = match alert {
        A::CloseNotify => return "the peer ended TLS (close_notify) before the handshake was done".to_owned(),
        A::HandshakeFailure => "it finds nothing in common, or wants a certificate",
        A::ProtocolVersion => "it does not speak any version of TLS that is offered here",
        A::InsufficientSecurity => "what is offered here is not secure enough for it",
        A::NoCertificate | A::CertificateRequired => "it wants a certificate, and got none",
        A::BadCertificate | A::CertificateUnknown => "it does not accept our certificate",
        A::UnsupportedCertificate => "our certificate is of a kind, or for a purpose, that it does not take",
        A::CertificateRevoked => "it holds our certificate for revoked",
        A::CertificateExpired => "it holds our certificate for expired, or not yet valid",
        A::UnknownCA => "it does not know the authority that issued our certificate",
        A::AccessDenied => "it knows our certificate and lets us not in",
        A::UnrecognisedName => "it does not serve the name that it was asked for",
        A::NoApplicationProtocol => "it speaks none of the application protocols (ALPN) that are offered here",
        A::DecryptError => "it could not verify a signature or a Finished",
        A::BadRecordMac | A::DecryptionFailed => "what it got was changed on the way",
        A::InternalError => "it has a fault of its own",
        A::UserCanceled => "somebody cancelled the handshake there",
        A::UnexpectedMessage | A::DecodeError | A::IllegalParameter | A::RecordOverflow | A::MissingExtension => {
            "it holds what it got for wrong"
        }
        _ => return format!("the peer refused: alert {name}"),
    };
    format!("the peer refused: {meaning} (alert {name})")
}

/// The name of an alert as RFC 8446 section 6 has it.
fn alert_name(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::UnknownCA => "unknown_ca".to_owned(),
        A::UnrecognisedName => "unrecognized_name".to_owned(),
        A::UnknownPSKIdentity => "unknown_psk_identity".to_owned(),
        A::Unknown(number) => number.to_string(),
        other => spaced(&format!("{other:?}")).replace(' ', "_"),
    }
}

fn content_type(content_type: ContentType) -> String {
    match content_type {
        ContentType::ChangeCipherSpec => "change_cipher_spec".to_owned(),
        ContentType::ApplicationData => "application data".to_owned(),
        ContentType::Unknown(number) => format!("of type {number}"),
        other => spaced(&format!("{other:?}")),
    }
}

fn handshake_type(handshake_type: HandshakeType) -> String {
    match handshake_type {
        HandshakeType::Unknown(number) => format!("of type {number}"),
        other => spaced(&format!("{other:?}")).replace(' ', "_"),
    }
}

/// The words of a name that is written in one, for what nobody has a better sentence for: `TooManyThings` becomes `too many
/// things`. What stands in brackets behind it is left out.
pub(super) fn spaced(name: &str) -> String {
    let name = name.split(['(', '{', ' ']).next().unwrap_or(name);
    let mut words = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
