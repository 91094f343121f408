//! What a server answers where there is no tunnel.

use super::{Field, ProxyStatus};
use crate::tunnel::{Reason, Refusal};

/// The answer in which a server refuses: everything but the framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusing {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) fields: Vec<Field>,
    /// One sentence, for people.
    pub(crate) body: String,
}

impl Refusing {
    /// What the application refuses with, said by a proxy of this name.
    pub(crate) fn tunnel(name: &str, refusal: &Refusal) -> Self {
        let Refusal { reason, next_hop, details, behind } = refusal;
        let stated = ProxyStatus::of(name)
            .with("error", Some(reason.proxy_error()))
            .with("next-hop", next_hop.as_deref())
            .with("details", details.as_deref());
        let mut refusing = Self::stated(reason.status(), &stated, reason.to_string());
        if let Some((_, value)) = refusing.fields.first_mut() {
            *value = [passed_on(behind).into_bytes(), std::mem::take(value)].concat();
        }
        refusing
    }

    /// Whoever asks is to say who they are, or has not said so as it should be.
    pub(crate) fn login(name: &str, realm: &str) -> Self {
        let stated = ProxyStatus::of(name).with("error", Some(Reason::Denied.proxy_error()));
        let refusing =
            Self::stated(407, &stated, "this proxy wants to know who asks: a user and a password".to_owned());
        let realm: String = realm.chars().map(|one| if matches!(one, ' '..='~') { one } else { '?' }).collect();
        let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
        refusing.with("proxy-authenticate", format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
    }

    /// The request is none that can be answered, for this reason.
    pub(crate) fn request(name: &str, status: u16, why: &str) -> Self {
        Self::stated(status, &ProxyStatus::of(name).with("error", Some("http_request_error")), why.to_owned())
    }

    /// The same, with this field.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into().into_bytes()));
        self
    }

    fn stated(status: u16, stated: &ProxyStatus, body: String) -> Self {
        let fields = vec![("proxy-status".to_owned(), stated.to_string().into_bytes())];
        Self { status, fields, body: body + "\n" }.with("content-type", "text/plain; charset=utf-8")
    }
}

/// What others have said, to stand before what is said here: the list begins with who is nearest to the target.
fn passed_on(behind: &[ProxyStatus]) -> String {
    let mut list = String::new();
    for status in behind {
        let member = format!("{status}, ");
        if list.len() + member.len() <= MAX_PASSED_ON {
            list.push_str(&member);
        }
    }
    list
}

const MAX_PASSED_ON: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s12_each_reason_has_its_status_and_its_error() {
        let table = [
            (Reason::DnsError, 502, "dns_error"),
            (Reason::DnsTimeout, 504, "dns_timeout"),
            (Reason::ConnectionRefused, 502, "connection_refused"),
            (Reason::ConnectionTimeout, 504, "connection_timeout"),
            (Reason::Unroutable, 502, "destination_ip_unroutable"),
            (Reason::Unavailable, 503, "destination_unavailable"),
            (Reason::Denied, 403, "http_request_denied"),
            (Reason::ProhibitedAddress, 502, "destination_ip_prohibited"),
            (Reason::LimitReached, 503, "connection_limit_reached"),
            (Reason::NextHopCertificate, 502, "tls_certificate_error"),
            (Reason::NextHopAlert, 502, "tls_alert_received"),
            (Reason::NextHopTls, 502, "tls_protocol_error"),
            (Reason::NextHopRefused, 502, "http_request_error"),
            (Reason::Loop, 502, "proxy_loop_detected"),
            (Reason::Internal, 500, "proxy_internal_error"),
            (Reason::Configuration, 500, "proxy_configuration_error"),
        ];
        for (reason, status, error) in table {
            let refusing = Refusing::tunnel("onionskin", &reason.into());
            assert_eq!(refusing.status, status, "{reason:?}");
            let stated = format!("onionskin; error={error}");
            assert_eq!(refusing.fields[0], ("proxy-status".to_owned(), stated.into_bytes()));
            assert!(refusing.body.ends_with('\n') && refusing.body.lines().count() == 1, "{refusing:?}");
        }
    }

    #[test]
    fn a_realm_is_quoted() {
        let refusing = Refusing::login("onionskin", "a \"b\" \\ \r\n\u{fc}");
        let (name, value) = refusing.fields.last().unwrap();
        assert_eq!(
            (&name[..], value.escape_ascii().to_string()),
            ("proxy-authenticate", br#"Basic realm="a \"b\" \\ ???", charset="UTF-8""#.escape_ascii().to_string())
        );
    }

    #[test]
    fn s12_what_the_proxies_behind_have_said_is_passed_on() {
        let mut refusal = Refusal::from(Reason::NextHopRefused);
        refusal.behind =
            ProxyStatus::list(br#"near; error=dns_error; received-status=502; x, "far away"; details="5""#);
        let refusing = Refusing::tunnel("onionskin", &refusal);
        let stated = br#"near; error=dns_error; received-status=502; x=?1, "far away"; details="5", onionskin; error=http_request_error"#;
        assert_eq!(refusing.fields[0].1.escape_ascii().to_string(), stated.escape_ascii().to_string());
        assert_eq!(ProxyStatus::list(&refusing.fields[0].1).len(), 3);
        refusal.behind = vec![ProxyStatus::of("a").with("details", Some("b".repeat(1000))); 20];
        let refusing = Refusing::tunnel("onionskin", &refusal);
        assert_eq!(ProxyStatus::list(&refusing.fields[0].1).len(), 5);
    }
}
