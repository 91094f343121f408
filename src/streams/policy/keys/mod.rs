//! All keys of a policy, in one table for each kind of object.
//!
//! ```text
//!                       ┌──▶ the reader               a key is read by its row, or it is unknown
//!     the table of keys ├──▶ the JSON Schema          docs/policy.schema.json
//!                       └──▶ the page of all keys     docs/policy-keys.md
//! ```
//!
//! A row says what may stand there and how it comes into the value, so that neither can be forgotten: the setter is part of the kind.
//! What is not in a table does not exist.

// | file | idea |
// |---|---|
// | `policy.rs`, `named.rs`, `stream.rs` | the tables: of a policy, of what has names in it, of a stream |
// | `reader.rs` | from a document to values, by the tables |
// | `schema.rs`, `page.rs` | the tables as a JSON Schema, and as a page |

mod named;
mod page;
mod policy;
mod reader;
mod schema;
mod stream;

use std::time::Duration;

pub use self::page::page;
pub(super) use self::reader::{Reading, read};
pub use self::schema::schema;
use super::document::{Node, Value};
use super::{Place, Protocol, Template};

/// A row: a key of objects that become a `T`.
struct Key<T: 'static> {
    name: &'static str,
    kind: Kind<T>,
    /// What it is unless it is set, for people.
    default: &'static str,
    side: Side,
    /// With which protocols it makes sense; with all, if there are none.
    spoken: &'static [Spoken],
    /// What it says.
    about: &'static str,
    /// The key of a flag that has to be set beside it.
    needs: Option<&'static str>,
    /// Whether it has to be there.
    is_needed: bool,
}

/// What may stand behind a key, and how it gets into the value.
enum Kind<T: 'static> {
    Flag(fn(&mut T, bool)),
    Number {
        least: u64,
        most: u64,
        unit: &'static str,
        set: fn(&mut T, u64),
    },
    /// A number, or the word for something else.
    NumberOr {
        least: u64,
        most: u64,
        word: &'static str,
        set: fn(&mut T, Option<u64>),
    },
    Numbers {
        least: u64,
        most: u64,
        unit: &'static str,
        count: usize,
        set: fn(&mut T, Vec<u64>),
    },
    /// Milliseconds, where 0 is none if it may be.
    Time {
        least: u64,
        set: fn(&mut T, Option<Duration>),
    },
    /// What is expected, and a setter that refuses all else.
    Text {
        expected: &'static str,
        set: fn(&mut T, &str) -> Result<(), String>,
    },
    Choice {
        words: &'static [&'static str],
        set: fn(&mut T, usize),
    },
    Template {
        place: Place,
        set: fn(&mut T, Template),
    },
    /// The name of something that has to be defined, or the names of several.
    Name {
        what: &'static str,
        set: fn(&mut T, String),
    },
    Names {
        what: &'static str,
        set: fn(&mut T, Vec<String>),
    },
    /// One text, or several.
    Texts {
        expected: &'static str,
        set: fn(&mut T, &str) -> Result<(), String>,
    },
    /// An object of texts or numbers by name.
    Texted {
        expected: &'static str,
        set: fn(&mut T, &str, &str) -> Result<(), String>,
    },
    Numbered {
        expected: &'static str,
        names: [u64; 2],
        most: u64,
        set: fn(&mut T, u64, u64),
    },
    /// Something of its own.
    Own {
        expected: &'static str,
        schema: fn() -> Value,
        read: fn(&mut Reading, &Node, &str, &mut T),
    },
    /// Read, and without effect, because.
    Without(&'static str),
}

/// Who it is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
    Both,
}

/// What a stream speaks, where MQTT over WebSocket is both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Raw,
    H1,
    H2,
    Ws,
    Mqtt,
    MqttOverWs,
}

impl Spoken {
    const ALL: [Self; 6] = [Self::Raw, Self::H1, Self::H2, Self::Ws, Self::Mqtt, Self::MqttOverWs];

    fn of(protocol: Protocol, over_ws: bool) -> Self {
        match protocol {
            Protocol::Raw => Self::Raw,
            Protocol::H1 => Self::H1,
            Protocol::H2 => Self::H2,
            Protocol::Ws => Self::Ws,
            Protocol::Mqtt if over_ws => Self::MqttOverWs,
            Protocol::Mqtt => Self::Mqtt,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::Ws => "ws",
            Self::Mqtt => "mqtt",
            Self::MqttOverWs => "mqtt over ws",
        }
    }
}

impl<T> Key<T> {
    const fn new(name: &'static str, kind: Kind<T>, default: &'static str, about: &'static str) -> Self {
        Self { name, kind, default, side: Side::Both, spoken: &[], about, needs: None, is_needed: false }
    }

    const fn client(self) -> Self {
        Self { side: Side::Client, ..self }
    }

    const fn server(self) -> Self {
        Self { side: Side::Server, ..self }
    }

    const fn spoken(self, spoken: &'static [Spoken]) -> Self {
        Self { spoken, ..self }
    }

    const fn needs(self, key: &'static str) -> Self {
        Self { needs: Some(key), ..self }
    }

    const fn needed(self) -> Self {
        Self { is_needed: true, ..self }
    }

    fn is_for(&self, spoken: Spoken) -> bool {
        self.spoken.is_empty() || self.spoken.contains(&spoken)
    }
}

const HTTP: &[Spoken] = &[Spoken::H1, Spoken::H2];
const WEB: &[Spoken] = &[Spoken::H1, Spoken::H2, Spoken::Ws, Spoken::MqttOverWs];
const WS: &[Spoken] = &[Spoken::Ws];
const WS_IN_ANY: &[Spoken] = &[Spoken::Ws, Spoken::MqttOverWs];
const MQTT: &[Spoken] = &[Spoken::Mqtt, Spoken::MqttOverWs];
