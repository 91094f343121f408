//! The list of rules: the first that is about a target decides.

use std::error::Error;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::Unreached;
use super::rule::{Rule, Subject};
use super::special::{meant, special};
use crate::printable::Printable;
use crate::runtime::Address;
use crate::tunnel::Reason;

/// Who may be reached.
///
/// The first rule that is about a target decides. Where none is, this holds, and without any rule nothing else:
///
/// - Special addresses are denied: loopback, link-local, private (RFC 1918, RFC 6598, unique local), multicast, broadcast,
///   unspecified, those for documentation and whatever else is not public; and those of this host. In IPv6, an address that has an
///   IPv4 address in it is judged by that.
/// - Otherwise port 443 is allowed, and the others are denied.
///
/// A rule that allows a name or `*` opens no special address: who owns the name is not to decide what of our own
/// network can be reached. Such a one is opened by a rule about addresses alone, as `127.0.0.0/8`.
///
/// Whoever passes a name on to another proxy does not learn its addresses. Then rules about names and ports decide alone, those
/// about addresses hold for addresses only; `localhost`, and all in it, is open only to a rule about that name.
///
/// ```
/// use onionskin::proxy::Rules;
///
/// let rules = Rules::parse("
///     deny  .ads.example
///     allow .example:443,993   # and what is in it
///     allow 10.1.0.0/16:5432
/// ")?;
/// # Ok::<_, onionskin::proxy::RulesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<(Access, Rule)>);

/// What a rule says of those whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// They may be reached.
    Allow,
    /// They may not.
    Deny,
}

impl Rules {
    /// No rules: what holds by default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this rule behind the others.
    #[must_use]
    pub fn allow(self, rule: Rule) -> Self {
        self.with(Access::Allow, rule)
    }

    /// With this rule behind the others.
    #[must_use]
    pub fn deny(self, rule: Rule) -> Self {
        self.with(Access::Deny, rule)
    }

    /// With this rule behind the others.
    #[must_use]
    pub fn with(mut self, access: Access, rule: Rule) -> Self {
        self.0.push((access, rule));
        self
    }

    /// With these rules behind the others.
    #[must_use]
    pub fn followed_by(mut self, rules: Self) -> Self {
        self.0.extend(rules.0);
        self
    }

    /// The rules of a text: on each line `allow RULE` or `deny RULE`. Empty lines count for nothing, nor does what stands behind
    /// a `#`.
    ///
    /// # Errors
    ///
    /// For the first line that is none of these, with its number.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let mut rules = Self::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |why: &dyn fmt::Display| RulesError(format!("line {}: {why}", index + 1));
            let (access, rule) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let access = match access {
                "allow" => Access::Allow,
                "deny" => Access::Deny,
                other => {
                    let other = Printable::new(other).limit(MAX_QUOTED).quoted().to_string();
                    return Err(wrong(&format_args!("write allow RULE or deny RULE, and not {other}")));
                }
            };
            rules.0.push((access, rule.trim().parse().map_err(|error| wrong(&error))?));
        }
        Ok(rules)
    }

    /// As [`parse`](Self::parse), of a file. It blocks.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as there.
    pub fn from_file(file: &Path) -> Result<Self, RulesError> {
        let shown = file.display();
        let text = fs::read_to_string(file)
            .map_err(|error| RulesError(format!("cannot read the rules in {shown}: {error}")))?;
        Self::parse(&text).map_err(|RulesError(why)| RulesError(format!("{shown}: {why}")))
    }

    /// What is to be said before anybody is asked what the name stands for: a denial that no address of its could change.
    pub(super) fn judge_name(&self, name: &str, port: u16) -> Result<(), Unreached> {
        let subject = Subject { name: Some(name), address: None, port };
        for (access, rule) in &self.0 {
            if rule.is_by_address() && rule.has_port(port) && *access == Access::Allow {
                return Ok(());
            }
            if rule.is_about(subject, false) {
                return self.verdict(*access, rule, Reason::Denied);
            }
        }
        default_port(port)
    }

    /// What is to be said of a name that somebody else resolves.
    pub(super) fn judge_unresolved(&self, name: &str, port: u16) -> Result<(), Unreached> {
        let subject = Subject { name: Some(name), address: None, port };
        let is_local =
            name.trim_end_matches('.').rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(LOCAL));
        let is_about = |access: Access, rule: &Rule| {
            rule.is_about(subject, false) && (access == Access::Deny || !is_local || rule.is_by_name())
        };
        match self.0.iter().find(|(access, rule)| is_about(*access, rule)) {
            Some((access, rule)) => self.verdict(*access, rule, Reason::Denied),
            None if is_local => Err(Unreached::new(Reason::Denied, "localhost is denied unless a rule allows it")),
            None => default_port(port),
        }
    }

    /// What is to be said of an address, which is this host's or not. `name` is what was asked for, if it was no address.
    pub(super) fn judge_address(&self, name: Option<&str>, address: SocketAddr, is_own: bool) -> Result<(), Unreached> {
        let (written, meant) = (address.ip(), meant(address.ip()));
        let special = special(meant).or(is_own.then_some("an address of this host"));
        let subject = Subject { name, address: Some([written, meant]), port: address.port() };
        for (access, rule) in &self.0 {
            let opens = rule.is_by_address() || special.is_none();
            if rule.is_about(subject, *access == Access::Deny) && (*access == Access::Deny || opens) {
                let reason = if rule.is_by_address() { Reason::ProhibitedAddress } else { Reason::Denied };
                return self.verdict(*access, rule, reason);
            }
        }
        match special {
            Some(what) => {
                let address = Spelled { written, meant };
                Err(Unreached::new(
                    Reason::ProhibitedAddress,
                    format_args!("{address} is {what}, which is denied unless a rule allows that network"),
                ))
            }
            None => default_port(address.port()),
        }
    }

    fn verdict(&self, access: Access, rule: &Rule, reason: Reason) -> Result<(), Unreached> {
        match access {
            Access::Allow => Ok(()),
            Access::Deny => Err(Unreached::new(reason, format_args!("the rule deny {rule}"))),
        }
    }

    /// The end of [`judge_address`](Self::judge_address) for whom no name was asked.
    pub(super) fn judge(&self, target: &Address) -> Result<(), Unreached> {
        match target {
            Address::Tcp(address) => self.judge_address(None, *address, false),
            Address::Name { host, port } => self.judge_unresolved(host, *port),
            _ => Err(Unreached::new(Reason::Denied, "only hosts can be asked for")),
        }
    }
}

fn default_port(port: u16) -> Result<(), Unreached> {
    match port {
        HTTPS => Ok(()),
        port => Err(Unreached::new(
            Reason::Denied,
            format_args!("port {port} is denied unless a rule allows it: by default there is port {HTTPS} only"),
        )),
    }
}

/// An address, and what is meant by it if that is another.
struct Spelled {
    written: IpAddr,
    meant: IpAddr,
}

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, meant } = self;
        if written == meant { meant.fmt(f) } else { write!(f, "{written}, which is {meant},") }
    }
}

/// Why a text is no [`Rules`]. Prints as one sentence.
#[derive(Clone, PartialEq, Eq)]
pub struct RulesError(String);

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for RulesError {}

const HTTPS: u16 = 443;

/// RFC 6761, section 6.3.
const LOCAL: &str = "localhost";

const MAX_QUOTED: usize = 60;
