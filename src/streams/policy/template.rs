//! Text with named values in it, which stand where they cannot do harm.
//!
//! A policy says `/devices/${serial}/state`, and the program what `serial` is, perhaps from somebody whom it does not trust. Put in
//! as it is, a value `../admin?x=` would lead elsewhere, one with a line break would add a field to the request, and one with a `/`
//! a level to a topic. So a template knows the [`Place`] that it is for, and a value is encoded for it where the place has
//! an encoding, and refused where it has none.
//!
//! | place | what a value may be |
//! |---|---|
//! | [`Host`](Place::Host) | letters, digits, `-`, `_` and `.`; an IP address, if it is all of the host |
//! | [`Url`](Place::Url), before the first `?` | anything, percent-encoded (RFC 3986, section 2.1), but no segment `.` or `..` comes of it |
//! | `Url`, behind it | anything, percent-encoded |
//! | [`Header`](Place::Header) | anything without control characters but the tab (RFC 9110, section 5.5) |
//! | [`Topic`](Place::Topic), [`Filter`](Place::Filter) | anything without `/`, `+`, `#` and control characters, and no `$` at the front |
//! | [`Text`](Place::Text) | anything without U+0000 |
//!
//! `$${` stands for `${`, and a `$` before anything else for itself.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// A text with `${name}` in it.
///
/// ```
/// use onionskin::streams::policy::{Place, Template};
///
/// let url = Template::parse("/find?q=${what}", Place::Url)?;
/// assert_eq!(url.fill(|_| Some("a&b=c"))?, "/find?q=a%26b%3Dc");
///
/// let header = Template::parse("Bearer ${token}", Place::Header)?;
/// assert!(header.fill(|_| Some("x\r\nhost: evil.example")).is_err());
/// assert!(header.fill(|_| None).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`Display`](fmt::Display) writes it as it is parsed. `Debug` leaves out what the policy itself says in a header or a text, which may be
/// a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Vec<Part>,
    place: Place,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Part {
    Text(String),
    Name(String),
}

/// Where a template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// A host or an address.
    Host,
    /// A path with its query.
    Url,
    /// The value of a field of HTTP.
    Header,
    /// A topic of MQTT.
    Topic,
    /// A filter of MQTT, where wildcards stand in the policy only.
    Filter,
    /// A text that nobody reads for its signs: a payload, a name of a user.
    Text,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// When a `${` has no `}`, or what is between them is no name: letters, digits, `_`, `-` and `.`, 64 at most. When the text
    /// itself is nothing for its place, such as a header with a line break.
    pub fn parse(text: &str, place: Place) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(behind) = rest.strip_prefix("$${") {
                literal.push_str("${");
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix("${") {
                let end = behind.find('}').ok_or_else(|| {
                    TemplateError("`${` without a `}` behind it: a plain one is written `$${`".to_owned())
                })?;
                let name = &behind[..end];
                if !is_name(name) {
                    return Err(TemplateError(format!(
                        "{name:?} is no name: letters, digits, `_`, `-` and `.`, {NAME_LEN} at most; a plain `${{` is written `$${{`"
                    )));
                }
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Name(name.to_owned()));
                rest = &behind[end + 1..];
            } else {
                literal.push('$');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        let template = Self { parts, place };
        template.check_text()?;
        Ok(template)
    }

    /// A text without names, however it looks.
    ///
    /// # Errors
    ///
    /// When the text is nothing for its place.
    pub fn literal(text: &str, place: Place) -> Result<Self, TemplateError> {
        let parts = if text.is_empty() { Vec::new() } else { vec![Part::Text(text.to_owned())] };
        let template = Self { parts, place };
        template.check_text()?;
        Ok(template)
    }

    /// What `${name}` alone stands for.
    ///
    /// # Errors
    ///
    /// When that is no name.
    pub fn value(name: &str, place: Place) -> Result<Self, TemplateError> {
        Self::parse(&format!("${{{name}}}"), place)
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The names in it, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        });
        names.collect::<BTreeSet<_>>().into_iter()
    }

    /// Whether all of it is one named value.
    pub fn is_one_value(&self) -> bool {
        matches!(self.parts[..], [Part::Name(_)])
    }

    /// The text with values for its names, as `value` tells them.
    ///
    /// # Errors
    ///
    /// When a name has no value, or one that the place has no room for. The error names the name, and never the value.
    pub fn fill<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, FillError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Name(name) => {
                    let error = |kind| FillError { name: name.clone(), place: self.place, kind };
                    let value = value(name).ok_or_else(|| error(FillErrorKind::NoValue))?;
                    self.add(&mut text, value).map_err(error)?;
                }
            }
        }
        if self.place == Place::Url && has_dot_segment(&text) && !self.has_dot_segment() {
            let name = self.names().collect::<Vec<_>>().join(", ");
            return Err(FillError {
                name,
                place: self.place,
                kind: FillErrorKind::NotAllowed("makes a segment `.` or `..`"),
            });
        }
        Ok(text)
    }

    /// Puts a value at the end of what there is.
    fn add(&self, text: &mut String, value: &str) -> Result<(), FillErrorKind> {
        let refused = |why| Err(FillErrorKind::NotAllowed(why));
        match self.place {
            Place::Host => {
                let is_plain =
                    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
                let is_address = self.is_one_value() && value.parse::<IpAddr>().is_ok();
                if !is_plain && !is_address {
                    return refused("is no host: letters, digits, `-`, `_` and `.`, or an IP address as all of it");
                }
                text.push_str(value);
            }
            Place::Url => encode(text, value),
            Place::Header => {
                if value.chars().any(|letter| letter.is_control() && letter != '\t') {
                    return refused("has a control character, which would end the field");
                }
                text.push_str(value);
            }
            Place::Topic | Place::Filter => {
                if value.contains(['/', '+', '#']) {
                    return refused("has a `/`, `+` or `#`, which would add a level or a wildcard");
                }
                if value.chars().any(char::is_control) {
                    return refused("has a control character");
                }
                if text.is_empty() && value.starts_with('$') {
                    return refused("begins with `$`, which would be a topic of the broker's own");
                }
                text.push_str(value);
            }
            Place::Text => {
                if value.contains('\0') {
                    return refused("has a U+0000");
                }
                text.push_str(value);
            }
        }
        Ok(())
    }

    /// What the policy itself says is held to less: it may have wildcards and levels.
    fn check_text(&self) -> Result<(), TemplateError> {
        let texts = || {
            self.parts.iter().filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Name(_) => None,
            })
        };
        let wrong = match self.place {
            Place::Host | Place::Url
                if texts().any(|text| text.chars().any(|letter| letter.is_control() || letter == ' ')) =>
            {
                "a space or a control character, which must be percent-encoded in a path and cannot be in a host"
            }
            Place::Url if texts().any(|text| text.contains('#')) => "a `#`, behind which nothing is sent",
            Place::Header if texts().any(|text| text.chars().any(|letter| letter.is_control() && letter != '\t')) => {
                "a control character, which would end the field"
            }
            Place::Topic if texts().any(|text| text.contains(['+', '#'])) => "a wildcard, which is for subscriptions",
            Place::Topic | Place::Filter if texts().any(|text| text.chars().any(char::is_control)) => {
                "a control character"
            }
            Place::Topic | Place::Filter if self.parts.is_empty() => "nothing in it",
            Place::Filter => match filter_mistake(&self.parts) {
                Some(mistake) => mistake,
                None => return Ok(()),
            },
            Place::Text if texts().any(|text| text.contains('\0')) => "a U+0000",
            _ => return Ok(()),
        };
        Err(TemplateError(format!("it has {wrong}")))
    }

    /// Whether the policy itself says one.
    fn has_dot_segment(&self) -> bool {
        has_dot_segment(&with_stand_ins(&self.parts))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace("${", "$${")),
            Part::Name(name) => write!(f, "${{{name}}}"),
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may_be_secret = matches!(self.place, Place::Header | Place::Text);
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(_) if may_be_secret => f.write_str("…"),
            Part::Text(text) => write!(f, "{}", text.escape_debug()),
            Part::Name(name) => write!(f, "${{{name}}}"),
        })
    }
}

/// Why a text is no template.
#[derive(Clone, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

/// Why a template cannot be filled in this attempt.
#[derive(Clone, PartialEq, Eq)]
pub struct FillError {
    name: String,
    place: Place,
    kind: FillErrorKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FillErrorKind {
    NoValue,
    NotAllowed(&'static str),
}

impl FillError {
    /// The name that it is about.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the name has no value; otherwise it has one that the place has no room for.
    pub fn is_missing(&self) -> bool {
        self.kind == FillErrorKind::NoValue
    }
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, place, kind } = self;
        match kind {
            FillErrorKind::NoValue => write!(f, "`${{{name}}}` has no value: set one before the stream is opened"),
            FillErrorKind::NotAllowed(why) => write!(f, "the value of `${{{name}}}` {why}, and stands in {place}"),
        }
    }
}

impl fmt::Debug for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for FillError {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "a host",
            Self::Url => "a path",
            Self::Header => "a header",
            Self::Topic => "a topic",
            Self::Filter => "a filter of topics",
            Self::Text => "a text",
        })
    }
}

/// Whether a value can be called so.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=NAME_LEN).contains(&name.len()) && name.bytes().all(is_plain)
}

/// What is wrong with wildcards: each stands for a whole level, and `#` is the last (MQTT 3.1.1, section 4.7.1).
fn filter_mistake(parts: &[Part]) -> Option<&'static str> {
    let whole = with_stand_ins(parts);
    let mut levels = whole.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.len() > 1 && level.contains(['+', '#']) {
            return Some("a wildcard that is not all of its level");
        }
        if level == "#" && levels.peek().is_some() {
            return Some("a `#` that is not the last level");
        }
    }
    None
}

/// The text with a letter for each value: no value is a wildcard, nor a dot.
fn with_stand_ins(parts: &[Part]) -> String {
    parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "v" }).collect()
}

/// Percent-encodes all but what is unreserved (RFC 3986, section 2.3).
fn encode(text: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => {
                text.push('%');
                for half in [byte >> 4, byte & 15] {
                    text.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
                }
            }
        }
    }
}

fn has_dot_segment(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    path.split('/').any(|segment| segment == "." || segment == "..")
}

/// So long is a name at most.
const NAME_LEN: usize = 64;
