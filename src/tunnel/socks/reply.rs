//! What the codes of a refusal mean, and who has refused; and what is no SOCKS at all.

use crate::tunnel::{Ender, ErrorKind};

/// A reply of SOCKS5 that is not 0 (RFC 1928, section 6).
///
/// That the proxy was refused by the target is something else than that the proxy has refused; only the code tells.
pub(super) fn refused5(code: u8) -> ErrorKind {
    let (by, reason) = match code {
        1 => (Ender::Unknown, "the proxy has failed, and says no more"),
        2 => (Ender::Proxy, "its rules do not allow this target"),
        3 => (Ender::Target, "the network is unreachable"),
        4 => (Ender::Target, "the host is unreachable, or its name not known"),
        5 => (Ender::Target, "the connection was refused"),
        6 => (Ender::Target, "the time to live ran out"),
        7 => (Ender::Proxy, "it does not do CONNECT"),
        8 => (Ender::Proxy, "it does not reach addresses of this type"),
        _ => (Ender::Unknown, "a reply that no standard knows"),
    };
    refused(by, code, reason)
}

/// A code of SOCKS4 that is not 90.
pub(super) fn refused4(code: u8) -> ErrorKind {
    let (by, reason) = match code {
        91 => (Ender::Unknown, "the proxy has refused, or not reached the target"),
        92 => (Ender::Proxy, "it cannot ask our identd who we are"),
        93 => (Ender::Proxy, "our identd says that we are another user"),
        _ => (Ender::Unknown, "a reply that nobody has described"),
    };
    refused(by, code, reason)
}

fn refused(by: Ender, code: u8, reason: &str) -> ErrorKind {
    ErrorKind::Refused { by, code: code.into(), reason: reason.to_owned(), fields: Vec::new(), body: Vec::new() }
}

/// The peer begins with this, which is another language. It is shown, so that somebody recognises which.
pub(super) fn not_spoken(input: &[u8]) -> ErrorKind {
    ErrorKind::NotSpoken(input.iter().take(MAX_SHOWN).copied().collect())
}

const MAX_SHOWN: usize = 16;
