//! Through whom a request has come.
//!
//! # The problem
//!
//! Two proxies that reach everybody through each other pass a request round and round, and each round holds a connection of both until
//! one of them has no more. No address tells: each asks somebody else, for a target that is neither of them.
//!
//! # The rule
//!
//! HTTP has a field for it, `Via` (RFC 9110, section 7.6.3): every proxy adds a name of its own, and passes on those that were there. Who
//! finds its own refuses. So the names are made such that no two proxies have the same. SOCKS has no field, and what was known is
//! lost where it is spoken: a circle with SOCKS in it is bounded by the limits of connections and of times only.

use super::Unreached;
use crate::tunnel::{Reason, Request, TunnelProtocol};

/// The list to pass on, with `name` behind those that are there.
///
/// # Errors
///
/// When the request has been here before, or has come through more proxies than make sense.
pub(super) fn pass_on(request: &Request, name: &str) -> Result<String, Unreached> {
    let values = request.fields.iter().filter(|(field, _)| field == "via");
    let mut entries: Vec<String> = values.flat_map(|(_, value)| entries(&String::from_utf8_lossy(value))).collect();
    if entries.iter().any(|entry| received_by(entry).is_some_and(|known| known.eq_ignore_ascii_case(name))) {
        return Err(Unreached::new(Reason::Loop, "the request has come through this proxy before"));
    }
    if entries.len() >= MAX_PROXIES {
        let cause = format_args!("the request has come through {} proxies already", entries.len());
        return Err(Unreached::new(Reason::Loop, cause));
    }
    entries.push(format!("{} {name}", protocol(request.protocol)));
    Ok(entries.join(", "))
}

/// The language in which the request has come.
fn protocol(protocol: TunnelProtocol) -> &'static str {
    match protocol {
        TunnelProtocol::Http1 => "1.1",
        TunnelProtocol::Http2 => "2",
        TunnelProtocol::Socks5 => "SOCKS/5",
        TunnelProtocol::Socks4a => "SOCKS/4a",
    }
}

/// What stands between the commas, without comments, which may be nested (RFC 9110, section 5.6.5) and which any proxy may take out
/// (section 7.6.3): one that is never closed would hide all that is behind it.
fn entries(value: &str) -> Vec<String> {
    let (mut entries, mut entry, mut depth, mut is_escaped) = (Vec::new(), String::new(), 0_usize, false);
    for letter in value.chars() {
        match letter {
            _ if is_escaped => {}
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ',' if depth == 0 => entries.push(std::mem::take(&mut entry)),
            _ if depth == 0 => entry.push(letter),
            _ => {}
        }
        is_escaped = !is_escaped && depth > 0 && letter == '\\';
    }
    entries.push(entry);
    entries.iter().map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect()
}

/// The name in an entry, behind the protocol.
fn received_by(entry: &str) -> Option<&str> {
    entry.split_ascii_whitespace().nth(1)
}

/// More proxies than these are a circle in which none of them looks for its name.
const MAX_PROXIES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Address;

    fn request(via: &[&str]) -> Request {
        let fields = via.iter().map(|value| ("via".to_owned(), value.as_bytes().to_owned())).collect();
        let target = Address::to_host("a.example", 443).unwrap();
        Request { protocol: TunnelProtocol::Http2, target, user: None, fields }
    }

    #[test]
    fn names_are_passed_on_and_ours_is_behind_them() {
        for (via, expected) in [
            (&[][..], "2 we"),
            (&["1.1 other"], "1.1 other, 2 we"),
            (&["1.1 a (we, 1.1 we), HTTP/1.0 b:80", "  , 2 c"], "1.1 a, HTTP/1.0 b:80, 2 c, 2 we"),
            (&[r"1.1 a (\), 1.1 we)"], "1.1 a, 2 we"),
            (&["1.1 a (", "1.1 b"], "1.1 a, 1.1 b, 2 we"),
            (&["we 1.1"], "we 1.1, 2 we"),
        ] {
            assert_eq!(pass_on(&request(via), "we").unwrap(), expected);
        }
    }

    #[test]
    fn our_own_name_and_too_many_others_are_a_circle() {
        let many = vec!["1.1 other"; MAX_PROXIES];
        for via in [&["1.1 we"][..], &["1.0 a, HTTP/1.1 WE (a comment)", "1.1 b"], &["1.1 a", "2\twe"], &many] {
            assert_eq!(pass_on(&request(via), "we").unwrap_err().reason(), Reason::Loop, "{via:?}");
        }
        assert!(pass_on(&request(&many[1..]), "we").is_ok());
        for unclosed in ["1.1 a (", r"1.1 a (b\"] {
            let passed_on = pass_on(&request(&[unclosed]), "we").unwrap();
            assert_eq!(pass_on(&request(&[&passed_on]), "we").unwrap_err().reason(), Reason::Loop, "{unclosed}");
        }
    }
}
