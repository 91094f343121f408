//! How HTTP writes a target: `HOST:PORT`, the authority form (RFC 9112, section 3.2.3).
//!
//! This is the only place that prints one. Which hosts there are, [`Address::to_host`] knows: whatever could end a line or begin
//! another part of a request is none of them.

use crate::runtime::Address;

/// The target as CONNECT asks for it: always with its port, an IPv6 address in brackets and without its zone, which means
/// nothing to another machine. `None` for what is no port of a host.
pub(crate) fn print(target: &Address) -> Option<String> {
    // An address can be made without a look at its name.
    match Address::to_host(&target.host()?, target.port()?).ok()? {
        Address::Tcp(address) => Some(address.to_string()),
        Address::Name { host, port } => Some(format!("{host}:{port}")),
        _ => None,
    }
}

/// The target that a client has asked for, or what is wrong with it in one phrase.
///
/// The port must be there and from 1 up, digits alone; user information has no place (RFC 9110, section 9.3.6).
pub(crate) fn parse(text: &[u8]) -> Result<Address, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "the target is no ASCII")?;
    let (host, port) = text.rsplit_once(':').ok_or("the target has no port")?;
    let port: u16 = match port {
        "" => return Err("the target has no port"),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| "the port of the target is above 65535")?
        }
        _ => return Err("the port of the target is no number"),
    };
    if port == 0 {
        return Err("the port of the target is 0, where nobody can be");
    }
    if host.contains('@') {
        return Err("a user has no place in the target");
    }
    let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        None if host.contains(':') => return Err("an IPv6 address stands in brackets"),
        None => host,
        Some(Some(inside)) if inside.contains(':') => inside,
        Some(_) => return Err("there is no IPv6 address in the brackets"),
    };
    Address::to_host(host, port).map_err(|_| "the host of the target is neither a name nor an IP address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_back() {
        for text in
            ["a.example:443", "_srv.a.example.:1", "192.0.2.1:80", "[2001:db8::1]:65535", "[::ffff:192.0.2.1]:9"]
        {
            assert_eq!(print(&parse(text.as_bytes()).unwrap()).unwrap(), text);
        }
        let zone = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0, 5);
        assert_eq!(print(&Address::Tcp(zone.into())).unwrap(), "[fe80::1]:443");
        let no_name = |host: &str, port| Address::Name { host: host.to_owned(), port };
        for target in [
            Address::Stdio,
            no_name("a\r\nHost: b", 1),
            no_name("a.example", 0),
            no_name("u@a.example", 1),
            no_name("", 1),
            std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into(),
        ] {
            assert_eq!(print(&target), None, "{target:?}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "no port"),
            ("a.example", "no port"),
            ("a.example:", "no port"),
            (":443", "neither a name"),
            ("a.example:0", "where nobody"),
            ("a.example:65536", "above 65535"),
            ("a.example:+1", "no number"),
            ("a.example: 1", "no number"),
            ("a.example:443/", "no number"),
            ("u:p@a.example:443", "a user"),
            ("::1:443", "in brackets"),
            ("[a.example]:443", "no IPv6"),
            ("[::1:443", "no IPv6"),
            ("[fe80::1%eth0]:443", "neither a name"),
            ("a b:443", "neither a name"),
            ("b\u{fc}cher.example:443", "neither a name"),
            ("http://a.example:443", "in brackets"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
