//! What an application adds to its request.

use std::fmt;

use super::scanner::is_token;
use crate::printable::Printable;
use crate::tunnel::ErrorKind;

/// Fields of a request for a tunnel, beside those that it has by itself. Their values show nowhere: some are secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// Adds a field.
    ///
    /// # Errors
    ///
    /// For a name that is no token, a value with a control character in it, and a field that is not the application's.
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) -> Result<(), ErrorKind> {
        let mistake = if name.is_empty() || !name.bytes().all(is_token) {
            "that is no name of a field"
        } else if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            "that field is not for an application to add: it says what the request is, or the request has it already"
        } else if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            "its value has a control character in it"
        } else {
            self.0.push((name.to_owned(), value.to_owned()));
            return Ok(());
        };
        Err(ErrorKind::Unaskable(format!("{}: {mistake}", Printable::new(name).quoted())))
    }

    /// Says which protocols will be spoken in the tunnel (RFC 7639), by their names in ALPN.
    pub(crate) fn push_alpn(&mut self, protocols: &[&[u8]]) {
        let names: Vec<_> = protocols.iter().map(|name| percent_coded(name)).collect();
        self.0.push(("ALPN".to_owned(), names.join(", ").into_bytes()));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Whether a field is about one connection of HTTP/1.1, and has no place in HTTP/2 (RFC 9113, section 8.2.2).
#[cfg(feature = "http2")]
pub(crate) fn is_of_one_connection(name: &str) -> bool {
    OF_ONE_CONNECTION.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Percent-encodes all that is no token, and the percent sign (RFC 7639, section 2.2).
fn percent_coded(name: &[u8]) -> String {
    let mut coded = String::new();
    for byte in name {
        match byte {
            b'%' => coded.push_str("%25"),
            byte if is_token(*byte) => coded.push(char::from(*byte)),
            byte => coded.push_str(&format!("%{byte:02X}")),
        }
    }
    coded
}

/// What a request for a tunnel has by itself, or must not have.
const OURS: [&str; 3] = ["content-length", "host", "transfer-encoding"];

#[cfg(feature = "http2")]
const OF_ONE_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a10_a_field_is_one_or_is_refused_and_its_value_shows_nowhere() {
        let mut fields = Fields::default();
        for (name, value) in [("X-Id", &b"a b\t\xfc"[..]), ("x-id", b""), ("Proxy-Connection", b"keep-alive")] {
            fields.push(name, value).unwrap();
        }
        assert!(fields.has("x-ID") && !fields.has("x"));
        assert_eq!(format!("{fields:?}"), r#"["X-Id", "x-id", "Proxy-Connection"]"#);
        for (name, value) in [
            ("", &b""[..]),
            ("a b", b""),
            ("a:", b""),
            ("a\r\nb", b""),
            ("\u{fc}", b""),
            ("a", b"secret\r\nb: c"),
            ("a", b"secret\n"),
            ("a", b"secret\0"),
            ("Host", b"secret"),
            ("CONTENT-LENGTH", b"secret"),
            ("transfer-encoding", b"secret"),
        ] {
            let error = fields.push(name, value).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.lines().count() == 1, "{error}");
        }
        assert_eq!(fields.iter().count(), 3);
    }

    #[test]
    fn a14_the_protocols_of_the_tunnel_are_percent_coded() {
        let mut fields = Fields::default();
        fields.push_alpn(&[b"h2", b"http/1.1", b"\xfc%~"]);
        assert_eq!(fields.iter().next(), Some(("ALPN", &b"h2, http%2F1.1, %FC%25~"[..])));
    }
}
