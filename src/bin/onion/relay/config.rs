//! `--config`: several relays, in TOML.
//!
//! ```toml
//! status = "9100"                 # as --status
//! max-per-peer = 100              # for every relay that does not say otherwise
//!
//! [relay.mail]
//! listen = "tcp:[::]:465+tls:cert=chain.pem:key=key.pem"
//! connect = "tcp:127.0.0.1:25"
//! max-connections = 500
//! ```
//!
//! What is wrong is told with the file and the line. An unknown key is wrong: it may be a limit with a letter missing.

use std::fmt::Display;
use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::path::Path;

use clap::ValueEnum;
use onionskin::endpoint::BaseTransport;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::options::Limits;
use super::plan::{Plan, Plans, Written};
use super::status;
use crate::failure::Failure;

/// What the file at `path` asks for.
pub(super) fn read(path: &Path) -> Result<Plans, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::new(error).at(path.display()))?;
    File { path, text: &text }.read()
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl File<'_> {
    fn read(&self) -> Result<Plans, Failure> {
        let document = DeTable::parse(self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            self.wrong(&span, error.message())
        })?;
        let (mut defaults, mut status, mut tables) = (Limits::default(), None, None);
        for (key, value) in document.get_ref() {
            match &**key.get_ref() {
                "relay" => tables = Some(self.table(value, "relay")?),
                "status" => {
                    let endpoint = status::endpoint(self.text(value, "status")?);
                    status = Some(self.blame(value, "status", endpoint)?);
                }
                name if self.set_limit(&mut defaults, name, value)? => {}
                name => return Err(self.unknown(key.span(), name, &[&["relay", "status"], LIMITS])),
            }
        }
        let mut relays = Vec::new();
        for (name, value) in tables.into_iter().flatten() {
            relays.push(self.relay(name, value, &defaults)?);
        }
        if relays.is_empty() {
            return Err(Failure::usage("there is no relay: begin one with [relay.NAME]").at(self.path.display()));
        }
        self.check_places(&relays)?;
        Ok(Plans { relays, status })
    }

    fn relay(&self, name: &Spanned<impl AsRef<str>>, value: &Value<'_>, defaults: &Limits) -> Result<Plan, Failure> {
        let span = name.span();
        let name = name.get_ref().as_ref();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(
                self.wrong(&span, format_args!("{name:?} is no name: letters, digits, `-`, `_` and `.` make one"))
            );
        }
        let (mut listen, mut connect, mut limits) = (None, None, defaults.clone());
        let missing = |key| self.wrong(&span, format_args!("the relay {name} has no `{key}`"));
        for (key, value) in self.table(value, name)? {
            match &**key.get_ref() {
                "listen" => listen = Some(value),
                "connect" => connect = Some(value),
                key if self.set_limit(&mut limits, key, value)? => {}
                unknown => return Err(self.unknown(key.span(), unknown, &[&["listen", "connect"], LIMITS])),
            }
        }
        let endpoint = |key: &'static str, value: Option<&Value<'_>>| {
            let value = value.ok_or_else(|| missing(key))?;
            self.blame(value, key, Written::new(self.text(value, key)?, limits.silence))
        };
        let (listen, connect) = (endpoint("listen", listen)?, endpoint("connect", connect)?);
        let plan = Plan::new(Some(name.to_owned()), listen, connect, limits);
        plan.map_err(|failure| failure.at(format_args!("relay {name}")).at(self.place(&span)))
    }

    /// Whether `key` is that of a limit.
    fn set_limit(&self, limits: &mut Limits, key: &str, value: &Value<'_>) -> Result<bool, Failure> {
        match key {
            "max-connections" => limits.max_connections = self.number::<NonZeroUsize>(value, key)?,
            "max-per-peer" => limits.max_per_peer = Some(self.number::<NonZeroUsize>(value, key)?),
            "idle" => limits.silence.idle = Some(self.number::<NonZeroU32>(value, key)?),
            "half-open" => limits.silence.half_open = Some(self.number::<NonZeroU32>(value, key)?),
            "truncated" => limits.truncated = self.choice(value, key)?,
            "peel-when-inner-tls" => limits.peel_when_inner_tls = self.yes_or_no(value, key)?,
            "patience" => limits.patience = self.number::<u32>(value, key)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Two that listen at one place could not both have it.
    fn check_places(&self, relays: &[Plan]) -> Result<(), Failure> {
        for (at, relay) in relays.iter().enumerate() {
            let place = |plan: &Plan| plan.route.listen.endpoint.transport.clone();
            let fixed = !matches!(place(relay), BaseTransport::Tcp { port: 0, .. });
            if let Some(other) = relays[..at].iter().find(|other| fixed && place(other) == place(relay)) {
                let (one, two, place) = (&other.route.label, &relay.route.label, place(relay));
                let message = format_args!("the relays {one} and {two} both listen at {place}");
                return Err(Failure::usage(message).at(self.path.display()));
            }
        }
        Ok(())
    }

    fn table<'a, 'i>(&self, value: &'a Value<'i>, what: &str) -> Result<&'a DeTable<'i>, Failure> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.wrong(&value.span(), format_args!("`{what}` has to be a table: write [relay.NAME]"))),
        }
    }

    fn text<'a>(&self, value: &'a Value<'_>, key: &str) -> Result<&'a str, Failure> {
        let text = value.get_ref().as_str();
        text.ok_or_else(|| self.wrong(&value.span(), format_args!("`{key}` has to be a string, in quotation marks")))
    }

    fn number<T: Limited>(&self, value: &Value<'_>, key: &str) -> Result<T, Failure> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok().and_then(T::limited),
            _ => None,
        };
        number.ok_or_else(|| self.wrong(&value.span(), format_args!("`{key}` has to be {}", T::RANGE)))
    }

    fn yes_or_no(&self, value: &Value<'_>, key: &str) -> Result<bool, Failure> {
        let chosen = value.get_ref().as_bool();
        chosen.ok_or_else(|| self.wrong(&value.span(), format_args!("`{key}` has to be true or false")))
    }

    /// One of the words that the option of this name takes.
    fn choice<T: ValueEnum>(&self, value: &Value<'_>, key: &str) -> Result<T, Failure> {
        let chosen = value.get_ref().as_str().and_then(|word| T::from_str(word, false).ok());
        chosen.ok_or_else(|| {
            let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let words: Vec<_> = words.map(|word| format!("\"{}\"", word.get_name())).collect();
            self.wrong(&value.span(), format_args!("`{key}` has to be {}", words.join(" or ")))
        })
    }

    /// Says of a failure where in the file its cause is.
    fn blame<T>(&self, value: &Value<'_>, key: &str, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| match key {
            "status" => failure.at(self.place(&value.span())),
            _ => failure.at(key).at(self.place(&value.span())),
        })
    }

    fn unknown(&self, span: Range<usize>, name: &str, known: &[&[&str]]) -> Failure {
        let known = known.concat();
        let similar = |known: &&str| (strsim::jaro(name, known) * 1000.0) as u32;
        let message = match known.iter().copied().max_by_key(similar) {
            Some(nearest) if similar(&nearest) > SIMILAR => format!("unknown key `{name}`: is it `{nearest}`?"),
            _ => format!("unknown key `{name}`: the known ones are {}", known.join(", ")),
        };
        self.wrong(&span, message)
    }

    fn wrong(&self, span: &Range<usize>, message: impl Display) -> Failure {
        Failure::usage(message).at(self.place(span))
    }

    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.as_bytes().iter().take(span.start);
        format!("{}:{}", self.path.display(), before.filter(|&&byte| byte == b'\n').count() + 1)
    }
}

/// A number with a range.
trait Limited: Sized {
    const RANGE: &str;

    fn limited(number: u64) -> Option<Self>;
}

impl Limited for NonZeroUsize {
    const RANGE: &str = "a whole number, 1 or more";

    fn limited(number: u64) -> Option<Self> {
        Self::new(usize::try_from(number).ok()?)
    }
}

impl Limited for NonZeroU32 {
    const RANGE: &str = "a whole number of seconds, 1 or more";

    fn limited(number: u64) -> Option<Self> {
        Self::new(u32::try_from(number).ok()?)
    }
}

impl Limited for u32 {
    const RANGE: &str = "a whole number of seconds, 0 or more";

    fn limited(number: u64) -> Option<Self> {
        Self::try_from(number).ok()
    }
}

/// The keys that stand above the tables or in them.
const LIMITS: &[&str] =
    &["max-connections", "max-per-peer", "idle", "half-open", "truncated", "patience", "peel-when-inner-tls"];

/// From here on, of 1000, one is taken for the other with letters wrong.
const SIMILAR: u32 = 700;
