//! One rule: whom it is about, and on which ports.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::network::Network;
use crate::printable::Printable;
use crate::runtime::Address;

/// Whom a rule is about: hosts, and ports of theirs.
///
/// | written | about |
/// |---|---|
/// | `mail.example` | this name, in upper or lower case, with a dot at its end or without |
/// | `.example` | this name and all names in it |
/// | `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32` | these addresses, whether they were asked for or a name stands for them |
/// | `*` | every name and every address |
/// | `mail.example:993`, `.example:80,443`, `[2001:db8::]:443`, `*:8000-8099` | the same, on these ports; without any, on all |
///
/// It parses from that, and prints as it.
///
/// ```
/// use onionskin::proxy::Rule;
///
/// let rule: Rule = ".Example:443,8000-8099".parse()?;
/// assert_eq!(rule.to_string(), ".example:443,8000-8099");
/// assert!("10.0.0.1/8".parse::<Rule>().unwrap_err().to_string().contains("the first address"));
/// # Ok::<_, onionskin::proxy::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    hosts: Hosts,
    /// All if there are none.
    ports: Vec<RangeInclusive<u16>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    /// In lower case, without a dot at its end.
    Name(String),
    /// As well, and without the dot before it.
    Domain(String),
    Network(Network),
}

/// Somebody whom a rule may be about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// What was asked for, if it was a name.
    pub(super) name: Option<&'a str>,
    /// As it is written, and what is meant by it; `None` while it is not known.
    pub(super) address: Option<[IpAddr; 2]>,
    pub(super) port: u16,
}

impl Rule {
    /// Whether the rule is about addresses, and not about what was asked for.
    pub(super) fn is_by_address(&self) -> bool {
        matches!(self.hosts, Hosts::Network(_))
    }

    /// Whether the rule is about just this host or those around it, and not about everybody.
    pub(super) fn is_by_name(&self) -> bool {
        matches!(self.hosts, Hosts::Name(_) | Hosts::Domain(_))
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|range| range.contains(&port))
    }

    /// Whether it is about them. Of an address only what is meant counts for who allows; who denies catches the spelling too.
    pub(super) fn is_about(&self, subject: Subject<'_>, either_spelling: bool) -> bool {
        self.has_port(subject.port)
            && match &self.hosts {
                Hosts::Any => true,
                Hosts::Name(name) => subject.name.is_some_and(|asked| bare(asked).eq_ignore_ascii_case(name)),
                Hosts::Domain(domain) => subject.name.is_some_and(|asked| is_in(bare(asked), domain)),
                Hosts::Network(network) => subject.address.is_some_and(|[written, meant]| {
                    network.contains(meant) || either_spelling && network.contains(written)
                }),
            }
    }
}

fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn is_in(name: &str, domain: &str) -> bool {
    let Some(before) = name.len().checked_sub(domain.len()) else { return false };
    let (front, back) = name.as_bytes().split_at(before);
    back.eq_ignore_ascii_case(domain.as_bytes()) && (front.is_empty() || front.ends_with(b"."))
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = |why: &dyn fmt::Display| RuleError(format!("{} is no rule: {why}", Printable::new(text).quoted()));
        let (hosts, ports) = split(text).map_err(|why| wrong(&why))?;
        let hosts = match hosts {
            "" => return Err(wrong(&"the host is missing; * is every one")),
            "*" => Hosts::Any,
            network if network.contains('/') || network.parse::<IpAddr>().is_ok() => {
                Hosts::Network(network.parse().map_err(|why: String| wrong(&why))?)
            }
            name if name.contains('*') => return Err(wrong(&"a domain and all in it is written with a dot: .example")),
            name => {
                let bare_name = bare(name.strip_prefix('.').unwrap_or(name)).to_ascii_lowercase();
                Address::to_host(&bare_name, 1).map_err(|error| wrong(&error))?;
                if name.starts_with('.') { Hosts::Domain(bare_name) } else { Hosts::Name(bare_name) }
            }
        };
        let ports = match ports {
            None => Vec::new(),
            Some(ports) => ports.split(',').map(range).collect::<Option<_>>().ok_or_else(|| wrong(&PORTS))?,
        };
        Ok(Self { hosts, ports })
    }
}

/// The host, and the ports behind it if there are any.
fn split(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (hosts, ports) = rest.split_once(']').ok_or("the ] is missing")?;
        return match ports.strip_prefix(':') {
            Some(ports) => Ok((hosts, Some(ports))),
            None if ports.is_empty() => Ok((hosts, None)),
            None => Err("behind the ] stands : and the ports"),
        };
    }
    match text.rsplit_once(':') {
        // An IPv6 address, which has its ports behind brackets.
        Some((before, _)) if before.contains(':') => Ok((text, None)),
        Some((hosts, ports)) => Ok((hosts, Some(ports))),
        None => Ok((text, None)),
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| *port > 0 && is_number)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(first..=last)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Domain(domain) => write!(f, ".{domain}")?,
            Hosts::Network(network) => {
                let text = network.to_string();
                let needs_brackets = text.contains(':') && !self.ports.is_empty();
                if needs_brackets { write!(f, "[{text}]")? } else { f.write_str(&text)? }
            }
        }
        for (index, range) in self.ports.iter().enumerate() {
            f.write_str(if index == 0 { ":" } else { "," })?;
            match (range.start(), range.end()) {
                (first, last) if first == last => first.fmt(f)?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// Why something is no [`Rule`]. Prints as one sentence.
#[derive(Clone, PartialEq, Eq)]
pub struct RuleError(String);

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for RuleError {}

const PORTS: &str = "ports are numbers from 1 to 65535 and ranges, with commas between them: 80,8000-8099";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_back() {
        for text in [
            "a.example",
            ".a.example:443",
            "*",
            "*:1-65535",
            "_srv.example:80,8000-8099",
            "192.0.2.0/24:25",
            "192.0.2.1",
            "2001:db8::/32",
            "[2001:db8::1]:443",
            "[2001:db8::/32]:443",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for (text, printed) in
            [("A.Example.", "a.example"), ("[::1]", "::1"), ("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("*:80-80", "*:80")]
        {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "host is missing"),
            (":443", "host is missing"),
            ("a.example:", "ports are numbers"),
            ("a.example:0", "ports are numbers"),
            ("a.example:65536", "ports are numbers"),
            ("a.example:90-80", "ports are numbers"),
            ("a.example:80,", "ports are numbers"),
            ("a.example:+80", "ports are numbers"),
            ("a.example:https", "ports are numbers"),
            ("*.example", "with a dot"),
            ("..example", "between two dots"),
            (".", "it is empty"),
            ("a b", "letters, digits"),
            ("10.0.0.1/8", "the first address"),
            ("10.0.0/8", "no IP address"),
            ("127.1", "up to 255"),
            ("[::1", "] is missing"),
            ("[::1]443", "behind the ]"),
            ("::1/200", "from 0 to 128"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.lines().count() == 1, "{text:?}: {error}");
        }
    }

    #[test]
    fn a_domain_ends_at_a_dot() {
        let is_about = |rule: &str, name| {
            let rule: Rule = rule.parse().unwrap();
            rule.is_about(Subject { name: Some(name), address: None, port: 1 }, false)
        };
        for (rule, name, expected) in [
            (".example", "example", true),
            (".example", "a.b.EXAMPLE.", true),
            (".example", "myexample", false),
            (".example", "example.org", false),
            ("a.example", "A.example.", true),
            ("a.example", "b.a.example", false),
            ("*", "anything", true),
        ] {
            assert_eq!(is_about(rule, name), expected, "{rule} {name}");
        }
    }
}
