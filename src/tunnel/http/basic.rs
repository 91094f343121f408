//! A user and a password in a field: Basic (RFC 7617).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::tunnel::Credentials;

/// The value of `proxy-authorization`.
pub(crate) fn print(credentials: &Credentials) -> String {
    let pair = [credentials.user().as_bytes(), b":", credentials.password()].concat();
    format!("Basic {}", BASE64.encode(pair))
}

/// The user and the password of such a value. `None` if that is none, or of another scheme.
pub(crate) fn parse(value: &[u8]) -> Option<Credentials> {
    let (scheme, rest) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let pair = BASE64.decode(rest.trim_ascii()).ok()?;
    let colon = memchr::memchr(b':', &pair)?;
    let user = std::str::from_utf8(&pair[..colon]).ok()?;
    Credentials::new(user, &pair[colon + 1..]).ok()
}

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_a_user_and_a_password_are_told_and_understood() {
        let known = Credentials::new("Aladdin", "open sesame").unwrap();
        assert_eq!(print(&known), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        for (user, password) in [("a", ""), ("a", ":b:"), ("\u{fc}", "\u{fc}")] {
            let credentials = Credentials::new(user, password).unwrap();
            assert!(parse(print(&credentials).as_bytes()) == Some(credentials), "{user}");
        }
        for value in ["bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ== "] {
            assert!(parse(value.as_bytes()).as_ref() == Some(&known), "{value}");
        }
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic !",
            "Basic QQ==",
            "Basic OmE=",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic/zph",
        ] {
            assert!(parse(value.as_bytes()).is_none(), "{value}");
        }
    }
}
