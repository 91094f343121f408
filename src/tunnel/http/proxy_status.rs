//! What proxies say of themselves in an answer: who has refused, and why.

use std::fmt;

use super::scanner::{Scanner, is_token};
use crate::tunnel::Ender;

/// What one proxy on the way says of the answer: a member of `Proxy-Status` (RFC 9209).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStatus {
    /// What it calls itself.
    pub proxy: String,
    /// What it says: `error`, `next-hop`, `details` and others.
    pub parameters: Vec<(String, String)>,
}

impl ProxyStatus {
    /// Of a proxy that calls itself so.
    pub(crate) fn of(proxy: impl Into<String>) -> Self {
        Self { proxy: proxy.into(), parameters: Vec::new() }
    }

    /// The same, with this said too.
    pub(crate) fn with(mut self, name: &str, value: Option<impl Into<String>>) -> Self {
        self.parameters.extend(value.map(|value| (name.to_owned(), value.into())));
        self
    }

    /// What went wrong, as one of the types of RFC 9209, section 2.3, if this proxy has made the answer over that.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.parameter("error")
    }

    /// Whom it has asked, or would have.
    #[must_use]
    pub fn next_hop(&self) -> Option<&str> {
        self.parameter("next-hop")
    }

    /// More about it.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.parameter("details")
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Who has refused, where the error tells.
    pub(crate) fn ender(&self) -> Option<Ender> {
        Some(match self.error()? {
            "destination_ip_prohibited"
            | "http_request_denied"
            | "connection_limit_reached"
            | "http_request_error"
            | "proxy_internal_response"
            | "proxy_internal_error"
            | "proxy_configuration_error"
            | "proxy_loop_detected" => Ender::Proxy,
            error if TARGETS.iter().any(|prefix| error.starts_with(prefix)) => Ender::Target,
            _ => Ender::Unknown,
        })
    }

    /// All that a value of the field says, the proxy that is nearest to the target first. One that breaks the rules says nothing
    /// (RFC 8941, section 4.2).
    pub(crate) fn list(value: &[u8]) -> Vec<Self> {
        let mut scanner = Scanner(value);
        let mut list = Vec::new();
        loop {
            scanner.pass_commas();
            if scanner.is_at_end() {
                return list;
            }
            match Self::next(&mut scanner) {
                Some(status) => list.push(status),
                None => return Vec::new(),
            }
        }
    }

    fn next(scanner: &mut Scanner<'_>) -> Option<Self> {
        let mut status = Self::of(item(scanner)?);
        loop {
            scanner.pass_blanks();
            if !scanner.pass(b';') {
                return (scanner.is_at_end() || scanner.0[0] == b',').then_some(status);
            }
            scanner.pass_blanks();
            let name = scanner.token()?;
            // A name alone is true.
            let value = if scanner.pass(b'=') { item(scanner)? } else { TRUE.to_owned() };
            status.parameters.push((name, value));
        }
    }
}

/// A token, a string, a number, or what is written like one.
fn item(scanner: &mut Scanner<'_>) -> Option<String> {
    scanner.quoted().or_else(|| {
        let bare = scanner.take_while(|byte| is_token(byte) || b":/?".contains(&byte));
        super::scanner::text(bare)
    })
}

/// As the field has it. Strings are of ASCII that can be printed; anything else is a question mark.
impl fmt::Display for ProxyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, &self.proxy, true)?;
        for (name, value) in &self.parameters {
            write!(f, "; {name}=")?;
            match &name[..] {
                "next-hop" | "details" => print(f, value, false)?,
                // What came as a number or as true leaves so.
                _ if is_number(value) || value == TRUE => f.write_str(value)?,
                name => print(f, value, name == "error")?,
            }
        }
        Ok(())
    }
}

fn print(f: &mut fmt::Formatter<'_>, value: &str, may_be_token: bool) -> fmt::Result {
    let is_token = value.starts_with(|first: char| first.is_ascii_alphabetic()) && value.bytes().all(is_token);
    if may_be_token && is_token {
        return f.write_str(value);
    }
    f.write_str("\"")?;
    for character in value.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            ' '..='~' => write!(f, "{character}")?,
            _ => f.write_str("?")?,
        }
    }
    f.write_str("\"")
}

/// As large as one is (RFC 8941, section 3.3.1).
fn is_number(value: &str) -> bool {
    (1..=15).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
}

const TRUE: &str = "?1";

/// How errors begin that are about the target, or the way to it.
const TARGETS: [&str; 5] = ["dns_", "destination_", "connection_", "tls_", "http_"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::Reason;

    #[test]
    fn what_is_printed_parses_back() {
        let status = ProxyStatus::of("onionskin")
            .with("error", Some("connection_refused"))
            .with("next-hop", Some("[::1]:443"))
            .with("details", Some(r#"said "no\", twice"#));
        let printed = status.to_string();
        assert_eq!(
            printed,
            r#"onionskin; error=connection_refused; next-hop="[::1]:443"; details="said \"no\\\", twice""#
        );
        assert_eq!(ProxyStatus::list(printed.as_bytes()), [status]);
        let other = ProxyStatus::of("a b").with("details", Some("\r\nx: \u{fc}"));
        assert_eq!(other.to_string(), r#""a b"; details="??x: ?""#);
    }

    #[test]
    fn a_list_is_read_or_says_nothing() {
        let list =
            ProxyStatus::list(br#"near;received-status=503;x, "far, away" ; error=http_request_error;details="a;b,c""#);
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].error(), list[0].parameter("received-status")), (None, Some("503")));
        assert_eq!(
            (&list[1].proxy[..], list[1].ender(), list[1].details()),
            ("far, away", Some(Ender::Proxy), Some("a;b,c"))
        );
        for value in ["", " , ", "a b", "a;", "a;b=", r#"a;b="open"#, "a;b=c d", "(a b)", "\u{fc}"] {
            assert_eq!(ProxyStatus::list(value.as_bytes()), [], "{value:?}");
        }
    }

    #[test]
    fn who_has_refused_is_told_of_all_that_we_say() {
        for (reason, by) in [
            (Reason::DnsError, Ender::Target),
            (Reason::ConnectionRefused, Ender::Target),
            (Reason::ConnectionTimeout, Ender::Target),
            (Reason::Unroutable, Ender::Target),
            (Reason::Unavailable, Ender::Target),
            (Reason::NextHopCertificate, Ender::Target),
            (Reason::Denied, Ender::Proxy),
            (Reason::ProhibitedAddress, Ender::Proxy),
            (Reason::LimitReached, Ender::Proxy),
            (Reason::Loop, Ender::Proxy),
            (Reason::Configuration, Ender::Proxy),
            (Reason::Internal, Ender::Proxy),
        ] {
            assert_eq!(ProxyStatus::of("a").with("error", Some(reason.proxy_error())).ender(), Some(by), "{reason:?}");
        }
        assert_eq!(ProxyStatus::of("a").with("error", Some("of_tomorrow")).ender(), Some(Ender::Unknown));
    }
}
