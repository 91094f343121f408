//! The numbers of the relays as Prometheus reads them: its text format, version 0.0.4.
//!
//! Every number that there can be is there from the beginning, be it zero, so that a rate can be taken of each. How many
//! there are depends on the relays alone, never on what peers do.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::join::{Class, Outcome, Side, Tally};

/// A relay, as the metrics see it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) label: String,
    pub(super) tally: Arc<Tally>,
    pub(super) most: usize,
}

/// When the process began to serve, and the relays in it.
#[derive(Debug)]
pub(super) struct Metrics {
    since: SystemTime,
    relays: Vec<Shown>,
}

impl Metrics {
    pub(super) fn new(relays: Vec<Shown>) -> Self {
        Self { since: SystemTime::now(), relays }
    }

    /// All of them, as they are now.
    pub(super) fn text(&self) -> String {
        let mut page = Page::default();
        page.metric("onion_build_info", "gauge", "The version of onion, as a label.");
        page.sample(&[("version", &env!("CARGO_PKG_VERSION"))], 1);
        page.metric("process_start_time_seconds", "gauge", "When the process began to serve, in seconds since 1970.");
        page.sample(&[], self.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());

        page.metric("onion_relay_connections_accepted_total", "counter", "Connections that were accepted.");
        for relay in &self.relays {
            page.sample(&[("relay", &relay.label)], relay.tally.accepted());
        }
        page.metric("onion_relay_connections", "gauge", "Connections that have not ended.");
        for relay in &self.relays {
            page.sample(&[("relay", &relay.label)], relay.tally.live());
        }
        page.metric("onion_relay_connections_limit", "gauge", "The most connections that there may be at a time.");
        for relay in &self.relays {
            page.sample(&[("relay", &relay.label)], relay.most as u64);
        }
        page.metric("onion_relay_connections_ended_total", "counter", "Connections that have ended, by how they did.");
        for relay in &self.relays {
            for &outcome in Outcome::ALL {
                page.sample(&[("relay", &relay.label), ("outcome", &word(outcome))], relay.tally.ended(outcome));
            }
        }
        page.metric(
            "onion_relay_tls_handshakes_total",
            "counter",
            "TLS handshakes that were done, one for each layer.",
        );
        for relay in &self.relays {
            for &side in Side::ALL {
                page.sample(&[("relay", &relay.label), ("side", &side.word())], relay.tally.handshakes(side));
            }
        }
        page.metric("onion_relay_failures_total", "counter", "Sides that failed or were lost, by what was wrong.");
        for relay in &self.relays {
            for (&side, &class) in Side::ALL.iter().flat_map(|side| Class::ALL.iter().map(move |class| (side, class))) {
                let labels: [(&str, &dyn Display); 3] =
                    [("relay", &relay.label), ("side", &side.word()), ("class", &word(class))];
                page.sample(&labels, relay.tally.failures(side, class));
            }
        }
        page.metric(
            "onion_relay_bytes_total",
            "counter",
            "Bytes inside all layers that were passed on, by their origin.",
        );
        for relay in &self.relays {
            for &side in Side::ALL {
                page.sample(&[("relay", &relay.label), ("from", &side.word())], relay.tally.bytes(side));
            }
        }
        page.text
    }
}

/// A word as the value of a label.
fn word(word: impl Display) -> String {
    word.to_string().replace(' ', "_")
}

#[derive(Default)]
struct Page {
    text: String,
    /// The metric whose samples come next.
    name: &'static str,
}

impl Page {
    fn metric(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(ENDLESS);
    }

    fn sample(&mut self, labels: &[(&str, &dyn Display)], value: u64) {
        self.text.push_str(self.name);
        let mut mark = '{';
        for (name, value) in labels {
            write!(self.text, "{mark}{name}=\"{}\"", escaped(&value.to_string())).expect(ENDLESS);
            mark = ',';
        }
        self.text.push_str(if labels.is_empty() { "" } else { "}" });
        writeln!(self.text, " {value}").expect(ENDLESS);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

const ENDLESS: &str = "a string takes everything";
