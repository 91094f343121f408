//! Alerts (RFC 8446 section 6): which one the peer is told for an error, and those that are known by their bytes.

use rustls::{AlertDescription, Error, InvalidMessage};

/// The alert that an error sends to the peer, if any (section 6.2).
pub(super) fn alert_over(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::AlertReceived(_) => None,
        Error::DecryptError => Some(AlertDescription::BadRecordMac),
        Error::PeerSentOversizedRecord | Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
            Some(AlertDescription::RecordOverflow)
        }
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => Some(AlertDescription::IllegalParameter),
        Error::InvalidMessage(InvalidMessage::InvalidEmptyPayload) => Some(AlertDescription::UnexpectedMessage),
        Error::InvalidMessage(_) => Some(AlertDescription::DecodeError),
        Error::PeerMisbehaved(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            Some(AlertDescription::UnexpectedMessage)
        }
        _ => Some(AlertDescription::InternalError),
    }
}

/// Whether a record is a close_notify that is not encrypted. Whoever can put one in can put anything in, so it is believed.
pub(super) fn is_close_notify_in_clear(record: &[u8]) -> bool {
    matches!(*record, [ALERT, _, _, 0, 2, _, 0])
}

/// The content type of alerts.
pub(super) const ALERT: u8 = 21;

/// Levels of alerts.
pub(super) const WARNING: u8 = 1;
pub(super) const FATAL: u8 = 2;

/// A record with the fatal alert 120, in clear as all alerts before a ServerHello (RFC 7301 section 3.2).
pub(super) const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];
