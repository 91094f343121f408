//! The log: lines for people, or one JSON object on each line for programs.
//!
//! What is known of an event is given to `log` as fields beside its text, so that a program need not take the text apart.
//! A field whose name ends in `_layers` is a list, from the wire inwards; its text has one item on each line.

use std::fmt;
use std::io::{self, Write};

use clap::ValueEnum;
use env_logger::fmt::Formatter;
use log::Record;
use log::kv::{self, Key, Value, VisitSource, VisitValue};
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::Value as Json;

use crate::failure::Failure;

/// What the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object on each line
    Json,
}

/// Begins to log to standard error: what `RUST_LOG` says, or else `shown`.
pub(crate) fn start(format: Format, shown: &str) {
    let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(shown));
    if format == Format::Json {
        builder.format(write_object);
    }
    builder.init();
}

/// Says something to people, on standard error: in one write, so that it costs one, and what two threads say does not mix.
/// Whoever has closed standard error does not want to know, and the rest goes on.
pub(crate) fn say(text: impl fmt::Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// A line on standard output, for whoever waits until it is there.
pub(crate) fn announce(line: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(Failure::output)
}

fn write_object(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = line.timestamp_millis();
    let mut writer = serde_json::Serializer::new(&mut *line);
    let mut object = writer.serialize_map(None)?;
    object.serialize_entry("time", &Text(time))?;
    object.serialize_entry("level", &record.level().as_str().to_ascii_lowercase())?;
    object.serialize_entry("target", record.target())?;
    object.serialize_entry("message", &Text(record.args()))?;
    record.key_values().visit(&mut Fields(&mut object)).map_err(io::Error::other)?;
    object.end()?;
    writeln!(line)
}

/// Whatever prints, as a string.
struct Text<T>(T);

impl<T: fmt::Display> serde::Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Adds each field to an object.
struct Fields<'a, M>(&'a mut M);

impl<'kvs, M: SerializeMap> VisitSource<'kvs> for Fields<'_, M> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let failed = |_| kv::Error::msg("the field cannot be written");
        if key.as_str().ends_with(LISTS) {
            let text = value.to_string();
            return self.0.serialize_entry(key.as_str(), &text.lines().collect::<Vec<_>>()).map_err(failed);
        }
        let mut field = Field(Json::Null);
        value.visit(&mut field)?;
        self.0.serialize_entry(key.as_str(), &field.0).map_err(failed)
    }
}

/// A value as JSON has it.
struct Field(Json);

impl<'v> VisitValue<'v> for &mut Field {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.0 = value.to_string().into();
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.0 = Json::Null;
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }
}

const LISTS: &str = "_layers";
