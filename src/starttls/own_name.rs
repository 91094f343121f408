//! Who we are, for those who ask.

use std::net::IpAddr;

/// What a client of SMTP or LMTP calls itself in EHLO or LHLO, if nobody has given it a name: the name of this host, if that is
/// a fully-qualified one, else the address literal of `local`, our end of the connection (RFC 5321 sections 2.3.5 and 4.1.4).
///
/// Strict servers refuse all others, `localhost` first of all. Endpoints do it so; code of its own does
/// `Smtp::new().named(&own_name(Some(address)))`. Without an address, on a Unix socket for one, it is `localhost` after all.
#[must_use]
pub fn own_name(local: Option<IpAddr>) -> String {
    qualified(host_name(), local)
}

fn qualified(host: Option<String>, local: Option<IpAddr>) -> String {
    let local = local.map(|address| address.to_canonical());
    match (host.filter(|host| is_fully_qualified(host)), local) {
        (Some(host), _) => host,
        (None, Some(IpAddr::V4(address))) => format!("[{address}]"),
        (None, Some(IpAddr::V6(address))) => format!("[IPv6:{address}]"),
        (None, None) => "localhost".to_owned(),
    }
}

/// A name of several labels that the DNS can know: what is local by its last label is of no use to anybody else (RFC 6761, RFC
/// 6762).
fn is_fully_qualified(host: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let labels: Vec<&str> = host.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let is_local = ["localhost", "localdomain", "local", "internal", "invalid", "lan", "home"]
        .iter()
        .any(|local| last.eq_ignore_ascii_case(local));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    host.len() <= 253 && labels.len() > 1 && labels.iter().copied().all(is_label) && !is_local && !is_number
}

#[cfg(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio")))]
fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

/// Not without help of the system.
#[cfg(not(all(unix, any(feature = "async-std", feature = "smol", feature = "tokio"))))]
fn host_name() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str, local: &str) -> String {
        qualified(Some(host.to_owned()), local.parse().ok())
    }

    #[test]
    fn a_name_that_others_can_know_is_said() {
        assert_eq!(named("mail.example", "192.0.2.1"), "mail.example");
        assert_eq!(named("a-b.c3.example", ""), "a-b.c3.example");
    }

    #[test]
    fn else_the_address_is() {
        let no_names = [
            "laptop",
            "",
            ".",
            "localhost",
            "localhost.localdomain",
            "pc.local",
            "a..example",
            "-a.example",
            "a.example.",
            "a b.example",
            "a.example\r\nRSET",
            "10.0.0.1",
            "h\u{e4}user.example",
        ];
        for host in no_names {
            assert_eq!(named(host, "192.0.2.1"), "[192.0.2.1]", "{host}");
        }
        assert_eq!(named("laptop", "::ffff:192.0.2.1"), "[192.0.2.1]");
        assert_eq!(named("laptop", "2001:db8::1"), "[IPv6:2001:db8::1]");
        assert_eq!(named("laptop", ""), "localhost");
        assert_eq!(qualified(None, None), "localhost");
    }
}
