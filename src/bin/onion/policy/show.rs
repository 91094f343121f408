//! A stream as a drawing: where it leads, through what, whom it trusts, and when it is tried again.
//!
//! ```text
//! telemetry
//! ├─ route    tcp:127.0.0.1:1080+socks5 ─▶ ${broker}:8883
//! ├─ layers   tls 1.2 to 1.3
//! ├─ trust    own (root)
//! ├─ speaks   mqtt, topic devices/${serial}/readings, qos 1
//! └─ retries  patient: ●─ 1 s ─●─ 2 s ─●─ 5 s ─●─ 5 s ─ … for ever; each delay up to 20 % longer
//! ```
//!
//! What could be secret is not drawn: passwords, tokens, the value of any name.

use std::time::Duration;

use onionskin::printable::Printable;
use onionskin::streams::policy::{Auth, Conceal, Policy, Protocol, Qos, Retry, StreamPolicy};
use onionskin::tls::Version;

pub(crate) fn drawing(policy: &Policy, name: &str, stream: &StreamPolicy) -> String {
    let mut lines = vec![("route", route(policy, stream)), ("layers", layers(stream))];
    if stream.tls.is_on {
        lines.push(("trust", trust(policy, stream)));
    }
    lines.push(("speaks", speaks(policy, stream)));
    lines.push(("retries", retries(policy, stream)));
    let mut drawing = format!("{}\n", Printable::new(name));
    for (index, (what, text)) in lines.iter().enumerate() {
        let corner = if index + 1 == lines.len() { "└─" } else { "├─" };
        drawing.push_str(&format!("{corner} {what:8} {}\n", Printable::new(text)));
    }
    drawing
}

fn route(policy: &Policy, stream: &StreamPolicy) -> String {
    let endpoint = stream.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
    let place = match endpoint.split_once("://") {
        // There may be a password in it, which is refused when it is opened.
        Some((scheme, _)) if endpoint.contains('@') => format!("{scheme}://…"),
        Some(_) => endpoint.clone(),
        None if endpoint.starts_with('+') => format!("unix:{}", &endpoint[1..]),
        None => match stream.port_or_standard(stream.tls.is_on) {
            Some(port) => format!("{endpoint}:{port}"),
            None => endpoint.clone(),
        },
    };
    if stream.is_server {
        return format!("listens at {}", if endpoint.is_empty() { format!("0.0.0.0:{}", stream.port) } else { place });
    }
    match stream.via.as_ref().or(policy.via.as_ref()) {
        Some(via) if !endpoint.starts_with('+') => format!("{via} ─▶ {place}"),
        _ => format!("─▶ {place}"),
    }
}

fn layers(stream: &StreamPolicy) -> String {
    let tls = stream.tls.is_on.then(|| {
        let version = |version: Option<Version>, standard| {
            version.map_or(standard, |version| match version {
                Version::Tls12 => "1.2",
                _ => "1.3",
            })
        };
        let (least, most) = (version(stream.tls.min_version, "1.2"), version(stream.tls.max_version, "1.3"));
        let alpn = stream.tls.alpn.as_ref().map(|alpn| format!(", alpn {}", alpn.join(", "))).unwrap_or_default();
        let name = stream.tls.server_name.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        format!("tls{name}, {least} to {most}{alpn}")
    });
    let below = stream.layers.as_ref().map(ToString::to_string);
    let all: Vec<_> = below.into_iter().chain(tls).collect();
    if all.is_empty() { "none: in clear".to_owned() } else { all.join(" ─ ") }
}

fn trust(policy: &Policy, stream: &StreamPolicy) -> String {
    let tls = &stream.tls;
    let store = |name: &String| {
        let store = policy.trust_stores.get(name);
        let mut names: Vec<_> = store.map(|store| store.certificates.clone()).unwrap_or_default();
        names.extend(store.filter(|store| store.system).map(|_| "whom the system trusts".to_owned()));
        format!("{name} ({})", names.join(", "))
    };
    let mut parts = Vec::new();
    if stream.is_server {
        parts.push(format!("shows {}", tls.server_certificate.join(", ")));
        parts.extend(
            tls.server_names.iter().map(|server| format!("as {} {}", server.name, server.certificate.join(", "))),
        );
        parts.extend(tls.client_trust_store.as_ref().map(|name| format!("demands certificates of {}", store(name))));
    } else {
        parts.push(tls.trust_store.as_ref().map_or_else(|| "whom the system trusts".to_owned(), store));
        parts.extend(tls.client_certificate.as_ref().map(|name| format!("we are {name}")));
    }
    let pins = tls.pins.len();
    if pins > 0 {
        parts.push(format!("{pins} pin{}", if pins == 1 { "" } else { "s" }));
    }
    if !tls.revocation_lists.is_empty() {
        parts.push(format!("revoked by {}", tls.revocation_lists.join(", ")));
    }
    parts.join("; ")
}

fn speaks(policy: &Policy, stream: &StreamPolicy) -> String {
    let mut parts = vec![stream.protocol.name().to_owned()];
    let (http, ws, mqtt) = (&stream.http, &stream.ws, &stream.mqtt);
    let url = http.url.as_ref().map_or_else(|| "/".to_owned(), ToString::to_string);
    match stream.protocol {
        Protocol::H1 | Protocol::H2 if !stream.is_server => {
            parts.push(format!("{} {url}", http.method.as_deref().unwrap_or("GET")));
        }
        Protocol::Ws if !stream.is_server => parts.push(url),
        Protocol::Mqtt => {
            parts.extend(mqtt.over_ws.then(|| format!("over ws {url}")));
            parts.extend(mqtt.topic.as_ref().map(|topic| format!("topic {topic}")));
            let filters =
                mqtt.subscriptions.iter().map(|subscription| format!("subscribes to {}", subscription.filter));
            parts.extend(filters);
            parts.push(match mqtt.qos {
                Qos::AtMostOnce => "qos 0".to_owned(),
                Qos::AtLeastOnce => "qos 1".to_owned(),
                Qos::ExactlyOnce => "qos 2".to_owned(),
            });
        }
        _ => {}
    }
    parts.extend(ws.over_h2.then(|| "in HTTP/2".to_owned()));
    parts.extend(ws.subprotocol.as_ref().map(|name| format!("subprotocol {name}")));
    let auth = stream.auth.as_ref().and_then(|name| Some((name, policy.auth.get(name)?)));
    parts.extend(auth.map(|(name, auth)| match auth {
        Auth::Basic { .. } => format!("auth {name} (basic)"),
        Auth::Bearer { .. } => format!("auth {name} (bearer)"),
        Auth::ClientCredentials { stream, .. } => format!("auth {name} (oauth2, token from {stream})"),
        _ => format!("auth {name}"),
    }));
    parts.join(", ")
}

fn retries(policy: &Policy, stream: &StreamPolicy) -> String {
    if stream.is_server {
        return "none: a server waits".to_owned();
    }
    let Some((name, retry)) = stream.retry.as_ref().and_then(|name| Some((name, policy.retries.get(name)?))) else {
        return "● one attempt".to_owned();
    };
    let mut parts = vec![format!("{name}: {}", time_line(retry))];
    if retry.jitter_percent > 0 {
        parts.push(format!("each delay up to {} % longer", retry.jitter_percent));
    }
    if !retry.stable_after.is_zero() {
        parts.push(format!("from the beginning after {}", shown(retry.stable_after)));
    }
    match (retry.ping_after, retry.hang_up_after) {
        (Some(ping), Some(end)) => {
            parts.push(format!("asked after {} of silence, given up after {}", shown(ping), shown(end)));
        }
        (None, Some(end)) => parts.push(format!("given up after {} of silence", shown(end))),
        _ => {}
    }
    parts.join("; ")
}

/// `●─ 1 s ─●─ 2 s ─●─ 2 s ─ … for ever`: each point is an attempt, and what is between them the wait.
fn time_line(retry: &Retry) -> String {
    let delay = |index: usize| retry.backoff.get(index).or(retry.backoff.last()).copied().unwrap_or_default();
    let total = match retry.conceal {
        Conceal::Times(count) => Some(usize::from(count)),
        Conceal::Always => None,
    };
    // The last delay is seen to be repeated once.
    let drawn = (retry.backoff.len() + 1).min(MAX_DRAWN);
    let drawn = total.map_or(drawn, |total| total.min(drawn));
    let mut line = "●".to_owned();
    for index in 0..drawn {
        line.push_str(&format!("─ {} ─●", shown(delay(index))));
    }
    match total {
        None => line.push_str("─ … for ever"),
        Some(total) => {
            let time: Duration = (0..total).map(delay).sum();
            if total > drawn {
                line.push_str("─ … ─●");
            }
            let attempts = total + 1;
            line.push_str(&format!(
                " ✗ all have failed: {attempts} attempt{} in {}",
                if attempts == 1 { "" } else { "s" },
                shown(time)
            ));
        }
    }
    line
}

fn shown(time: Duration) -> String {
    let milliseconds = time.as_millis();
    match milliseconds {
        _ if !milliseconds.is_multiple_of(1000) => format!("{milliseconds} ms"),
        _ if milliseconds >= 120_000 && milliseconds.is_multiple_of(60_000) => format!("{} min", milliseconds / 60_000),
        _ => format!("{} s", milliseconds / 1000),
    }
}

/// So many delays are drawn at most.
const MAX_DRAWN: usize = 12;
