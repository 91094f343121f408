//! From words to values, and from values to words.
//!
//! A kind asks [`Arguments`] for what it knows, one argument after the other. What was never asked
//! for is unknown: there is no second list of keys to keep in step. A kind prints through
//! [`Printer`], in the order in which it reads.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::{ErrorKind, ParseError};
use super::grammar::{Argument, Escaped, Step, Word};
use crate::runtime::{Address, AddressError};

/// The arguments of one step, taken out by position or by key.
pub(super) struct Arguments {
    usage: &'static str,
    end: usize,
    rest: Vec<Argument>,
    known_keys: Vec<&'static str>,
    /// The key that they stand behind, if they are a part of a step.
    section: Option<&'static str>,
}

impl Arguments {
    /// `usage` is the kind with its positional arguments, as in `tcp:HOST:PORT`.
    pub(super) fn new(step: Step, usage: &'static str) -> Self {
        Self { usage, end: step.end, rest: step.arguments, known_keys: Vec::new(), section: None }
    }

    /// Takes the next positional argument.
    pub(super) fn positional(&mut self, name: &str) -> Result<Word, ParseError> {
        self.optional().ok_or_else(|| self.missing(name))
    }

    /// Takes the next positional argument, if there is one.
    pub(super) fn optional(&mut self) -> Option<Word> {
        let index = self.rest.iter().position(|argument| argument.key.is_none())?;
        Some(self.rest.remove(index).value)
    }

    /// Takes the value of `key` and reads it, if the key is there.
    pub(super) fn key<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Word) -> Result<T, ParseError>,
    ) -> Result<Option<T>, ParseError> {
        match self.find(key)? {
            Some(index) => read(self.rest.remove(index).value).map(Some),
            None => Ok(None),
        }
    }

    /// Takes the values of `key`, which may be there any number of times.
    pub(super) fn keys(&mut self, key: &'static str) -> Vec<Word> {
        self.known_keys.push(key);
        let is_key = |argument: &mut Argument| argument.key.as_ref().is_some_and(|found| found.text == key);
        self.rest.extract_if(.., is_key).map(|argument| argument.value).collect()
    }

    /// Takes each `key` with all the arguments behind it, up to the next one or the end of the step: they are about its value alone.
    /// To be called before anything else is taken, so that nothing there is taken for an argument of the whole step.
    pub(super) fn sections(&mut self, key: &'static str, usage: &'static str) -> Vec<(Word, Self)> {
        let is_key = |argument: &Argument| argument.key.as_ref().is_some_and(|found| found.text == key);
        let Some(first) = self.rest.iter().position(is_key) else { return Vec::new() };
        let mut sections: Vec<(Word, Self)> = Vec::new();
        for argument in self.rest.split_off(first) {
            match sections.last_mut() {
                Some((_, section)) if !is_key(&argument) => section.rest.push(argument),
                _ => {
                    let section =
                        Self { usage, end: self.end, rest: Vec::new(), known_keys: Vec::new(), section: Some(key) };
                    sections.push((argument.value, section));
                }
            }
        }
        sections
    }

    /// Has a key known that was taken already, as one of [`sections`](Self::sections) is: behind those that stand before it.
    pub(super) fn knows(&mut self, key: &'static str) {
        self.known_keys.push(key);
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the host and the port that somebody else is asked for.
    pub(super) fn target(&mut self) -> Result<Address, ParseError> {
        let (host, port) = (self.positional("HOST")?, self.positional("PORT")?);
        let (host_position, port_position) = (host.position, port.position);
        let (host, port) = (host.host()?, port.port()?);
        let position = if port == 0 { port_position } else { host_position };
        let invalid = |error: AddressError| ParseError::new(ErrorKind::InvalidValue, position, error.to_string());
        Address::to_host(&host, port).map_err(invalid)
    }

    /// Where the next positional argument stands, or the end of the step.
    pub(super) fn here(&self) -> usize {
        let next = self.rest.iter().find(|argument| argument.key.is_none());
        next.map_or(self.end, |argument| argument.value.position)
    }

    /// Takes an IP address and the port that stands behind it as an argument of its own, as in `key=[::1]:25`.
    pub(super) fn socket_address(&mut self, key: &'static str) -> Result<Option<SocketAddr>, ParseError> {
        let Some(index) = self.find(key)? else {
            return Ok(None);
        };
        let ip = self.rest.remove(index).value.ip_address()?;
        let is_port = self.rest.get(index).is_some_and(|argument| argument.key.is_none());
        if !is_port {
            let address = host(&ip.to_string()).to_string();
            let message = format!("the port behind {key}={address} is missing: write {key}={address}:PORT");
            return Err(ParseError::new(ErrorKind::MissingArgument, self.end, message));
        }
        let port = self.rest.remove(index).value.port()?;
        Ok(Some(SocketAddr::new(ip, port)))
    }

    /// Where the value of `key` stands, if it is there and has not been taken.
    pub(super) fn position(&self, key: &'static str) -> Option<usize> {
        self.rest
            .iter()
            .find(|argument| argument.key.as_ref().is_some_and(|found| found.text == key))?
            .value
            .position
            .into()
    }

    /// Where `key` stands, which may be there once.
    fn find(&mut self, key: &'static str) -> Result<Option<usize>, ParseError> {
        self.known_keys.push(key);
        let is_key = |argument: &Argument| argument.key.as_ref().is_some_and(|found| found.text == key);
        let Some(first) = self.rest.iter().position(is_key) else { return Ok(None) };
        match self.rest[first + 1..].iter().find(|argument| is_key(argument)).and_then(|second| second.key.as_ref()) {
            None => Ok(Some(first)),
            Some(second) => {
                let message = format!("the key {key:?} is given twice");
                Err(ParseError::new(ErrorKind::DuplicateKey, second.position, message))
            }
        }
    }

    /// The error for something that does not stand where it is needed. `end` is where it could be added.
    pub(super) fn missing(&self, name: &str) -> ParseError {
        let message = format!("{name} is missing: write {}", self.usage);
        ParseError::new(ErrorKind::MissingArgument, self.end, message)
    }

    /// Makes sure that everything has been taken.
    pub(super) fn finish(self) -> Result<(), ParseError> {
        let Some(argument) = self.rest.first() else {
            return Ok(());
        };
        let Some(key) = &argument.key else {
            let message = match self.known_keys.as_slice() {
                [] => format!("there is an argument too many: write {}", self.usage),
                [key] => format!("an argument too many: write {key}=VALUE, or + before another step"),
                keys => format!("write an argument as KEY=VALUE, the keys are {}", keys.join(", ")),
            };
            let position = argument.value.position;
            return Err(ParseError::new(ErrorKind::UnexpectedArgument, position, message));
        };
        let message = match self.known_keys.as_slice() {
            [] => format!("unknown key {:?}: this step has none, write {}", key.text, self.usage),
            [known] => format!("unknown key {:?}: the only one here is {known}", key.text),
            keys => format!("unknown key {:?}: the known ones are {}", key.text, keys.join(", ")),
        };
        let message = match self.section {
            None => message,
            Some(section) => format!("{message}; behind `{section}`, where what is for all stands before"),
        };
        Err(ParseError::new(ErrorKind::UnknownKey, key.position, message))
    }
}

/// The meanings that a word can have.
impl Word {
    /// Any text but none.
    pub(super) fn text(self) -> Result<String, ParseError> {
        if self.bracketed {
            return Err(self.invalid(r"brackets hold an IPv6 address only (write \[ for a plain one)"));
        }
        if self.text.is_empty() {
            return Err(self.invalid("a value is empty: write it here"));
        }
        Ok(self.text)
    }

    /// A path.
    pub(super) fn path(self) -> Result<PathBuf, ParseError> {
        self.text().map(PathBuf::from)
    }

    /// A host name, an IPv4 address, or an IPv6 address in brackets.
    pub(super) fn host(self) -> Result<String, ParseError> {
        if self.bracketed {
            let (address, zone) = self.text.split_once('%').unwrap_or((&self.text, "1"));
            let is_zone = !zone.is_empty() && zone.chars().all(is_host_character);
            if address.parse::<Ipv6Addr>().is_err() || !is_zone {
                return Err(self.invalid(format!("{:?} is no IPv6 address", self.text)));
            }
            return Ok(self.text);
        }
        if self.text.is_empty() {
            return Err(self.invalid("the host is empty: write a name or an address (IPv6 in brackets)"));
        }
        if self.text.contains(':') {
            return Err(self.invalid("a host has no colon (an IPv6 address stands in brackets)"));
        }
        if !self.text.chars().all(is_host_character) {
            let message = format!("{:?} is no host: write a name or an address (IPv6 in brackets)", self.text);
            return Err(self.invalid(message));
        }
        Ok(self.text)
    }

    /// An IPv4 address, or an IPv6 address in brackets.
    pub(super) fn ip_address(self) -> Result<IpAddr, ParseError> {
        let address = match self.bracketed {
            true => self.text.parse().map(IpAddr::V6),
            false => self.text.parse().map(IpAddr::V4),
        };
        address.map_err(|_| self.invalid(format!("{:?} is no IP address (IPv6 stands in brackets)", self.text)))
    }

    /// A TCP port.
    pub(super) fn port(self) -> Result<u16, ParseError> {
        let is_number = !self.bracketed && self.text.bytes().all(|byte| byte.is_ascii_digit());
        match self.text.parse() {
            Ok(port) if is_number => Ok(port),
            _ => Err(self.invalid(format!("{:?} is no port: write 0 to 65535", self.text))),
        }
    }

    /// A number from 0 up.
    pub(super) fn number(self, what: &str) -> Result<u32, ParseError> {
        let is_number = !self.bracketed && self.text.bytes().all(|byte| byte.is_ascii_digit());
        match self.text.parse() {
            Ok(number) if is_number => Ok(number),
            _ => Err(self.invalid(format!("{:?} is no {what}: write a number from 0 up", self.text))),
        }
    }

    /// Whole seconds; `None` for the word `none`.
    pub(super) fn seconds(self) -> Result<Option<NonZeroU32>, ParseError> {
        if self.text == "none" && !self.bracketed {
            return Ok(None);
        }
        let is_number = !self.bracketed && self.text.bytes().all(|byte| byte.is_ascii_digit());
        match self.text.parse() {
            Ok(seconds) if is_number => Ok(Some(seconds)),
            _ => Err(self.invalid(format!("{:?} is no time: write whole seconds from 1 up, or none", self.text))),
        }
    }

    /// Whole seconds, at most so many; `None` for the word `off`.
    pub(super) fn seconds_or_off(self, most: u16) -> Result<Option<u16>, ParseError> {
        if self.text == "off" && !self.bracketed {
            return Ok(None);
        }
        self.within("time", "seconds, or off,", 1..=most).map(Some)
    }

    /// A number in this range.
    pub(super) fn within<T>(self, what: &str, write: &str, range: RangeInclusive<T>) -> Result<T, ParseError>
    where
        T: Display + FromStr + PartialOrd,
    {
        let is_number = !self.bracketed && self.text.bytes().all(|byte| byte.is_ascii_digit());
        match self.text.parse() {
            Ok(number) if is_number && range.contains(&number) => Ok(number),
            _ => {
                let (least, most) = (range.start(), range.end());
                Err(self.invalid(format!("{:?} is no {what}: write {write} from {least} to {most}", self.text)))
            }
        }
    }

    /// Whether it begins with an `@` that no backslash has made an ordinary character.
    pub(super) fn has_at(&self) -> bool {
        self.text.starts_with('@') && !self.escaped && !self.bracketed
    }

    /// What stands behind the `@`: any text but none.
    pub(super) fn behind_at(self) -> Result<String, ParseError> {
        match self.text.strip_prefix('@') {
            None | Some("") => Err(self.invalid("the name of an abstract socket follows the @")),
            Some(name) => Ok(name.to_owned()),
        }
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Result<T, ParseError> {
        let chosen = choices.iter().find(|(name, _)| *name == self.text && !self.bracketed);
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let allowed = names.join(" or ");
            self.invalid(format!("{:?} is not allowed here: write {allowed}", self.text))
        })
    }

    /// Names between commas, none of them empty.
    pub(super) fn list(self) -> Result<Vec<String>, ParseError> {
        let position = self.position;
        let names: Vec<_> = self.text()?.split(',').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            let message = "a name between two commas is empty";
            return Err(ParseError::new(ErrorKind::InvalidValue, position, message));
        }
        Ok(names)
    }

    /// Names between commas, of things that have names.
    pub(super) fn names<T: FromStr<Err: Display>>(self, key: &str) -> Result<Vec<T>, ParseError> {
        self.each(|name| name.parse().map_err(|error| format!("{key}: {error}")))
    }

    /// Words between commas, each of which `read` can read, or says why not.
    pub(super) fn each<T>(self, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, ParseError> {
        let position = self.position;
        let invalid = |why| ParseError::new(ErrorKind::InvalidValue, position, why);
        self.list()?.iter().map(|word| read(word).map_err(invalid)).collect()
    }

    fn invalid(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(ErrorKind::InvalidValue, self.position, message)
    }
}

/// Prints a step: the kind first, then the arguments in the order of the calls.
pub(super) struct Printer<'a, 'f> {
    to: &'a mut fmt::Formatter<'f>,
    result: fmt::Result,
}

impl<'a, 'f> Printer<'a, 'f> {
    pub(super) fn new(kind: &str, to: &'a mut fmt::Formatter<'f>) -> Self {
        let result = to.write_str(kind);
        Self { to, result }
    }

    pub(super) fn positional(self, value: impl Display) -> Self {
        self.write(format_args!(":{value}"))
    }

    /// Prints nothing for `None`.
    pub(super) fn key(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.write(format_args!(":{key}={value}")),
            None => self,
        }
    }

    pub(super) fn finish(self) -> fmt::Result {
        self.result
    }

    fn write(mut self, text: fmt::Arguments<'_>) -> Self {
        self.result = self.result.and_then(|()| self.to.write_fmt(text));
        self
    }
}

/// The word that [`Word::text`] reads back.
pub(super) fn text(text: &str) -> impl Display {
    Escaped(text).to_string()
}

/// The word that [`Word::names`] reads back; none for no names.
pub(super) fn names<T: Display>(names: &[T]) -> Option<String> {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// The word that [`Word::path`] reads back, if the path is UTF-8.
pub(super) fn path(path: &Path) -> impl Display {
    Escaped(&path.to_string_lossy()).to_string()
}

/// The path of a Unix socket, which [`Word::path`] reads back where [`Word::has_at`] is asked before.
pub(super) fn socket_path(file: &Path) -> impl Display {
    let word = path(file).to_string();
    if word.starts_with('@') { format!("\\{word}") } else { word }
}

/// The two words that [`Arguments::socket_address`] reads back.
pub(super) fn socket_address(address: SocketAddr) -> impl Display {
    format!("{}:{}", host(&address.ip().to_string()), address.port())
}

/// The word that [`Word::host`] reads back.
pub(super) fn host(host: &str) -> impl Display {
    if host.contains(':') { format!("[{host}]") } else { Escaped(host).to_string() }
}

/// The name in `choices` that [`Word::choice`] reads back.
pub(super) fn choice<T: PartialEq>(value: &T, choices: &[(&'static str, T)]) -> impl Display + use<T> {
    let named = choices.iter().find(|(_, choice)| choice == value);
    named.expect("the choices name every value").0
}

/// Letters of any script, because resolvers know names that are not ASCII.
fn is_host_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '.' | '_')
}
