//! What has names in a policy: tables of delays, trust stores, client certificates, and who asks.

use std::time::Duration;

use super::super::{Conceal, Place, Retry, Template, TrustStore};
use super::{Key, Kind};

/// `retry`
pub(super) const RETRY: &[Key<Retry>] = &[
    Key::new(
        "backoff",
        Kind::Numbers {
            least: 0,
            most: MAX_DELAY,
            unit: "ms",
            count: 64,
            set: |retry, delays| retry.backoff = delays.into_iter().map(Duration::from_millis).collect(),
        },
        "[3000]",
        "How long to wait after each failure in turn; the last one is repeated.",
    ),
    Key::new(
        "conceal",
        Kind::NumberOr {
            least: 0,
            most: 65_535,
            word: "always",
            set: |retry, times| {
                retry.conceal = match times.and_then(|times| u16::try_from(times).ok()) {
                    None | Some(u16::MAX) => Conceal::Always,
                    Some(times) => Conceal::Times(times),
                };
            },
        },
        "0",
        "How many failures in a row are followed by another attempt, before the program is told that all have failed. `\"always\"` and 65535 are for ever.",
    ),
    Key::new(
        "jitterpc",
        Kind::Number {
            least: 0,
            most: 100,
            unit: "%",
            set: |retry, percent| retry.jitter_percent = u8::try_from(percent).unwrap_or(100),
        },
        "30",
        "How many percent of a delay are added to it at most, at random. Nothing is ever taken away; 0 adds nothing.",
    ),
    Key::new(
        "svalidping",
        Kind::Number { least: 0, most: 65_535, unit: "s", set: |retry, time| retry.ping_after = seconds(time) },
        "0, never",
        "How long a connection may be silent before the peer is asked whether it is there.",
    ),
    Key::new(
        "svalidhup",
        Kind::Number { least: 0, most: 65_535, unit: "s", set: |retry, time| retry.hang_up_after = seconds(time) },
        "0, never",
        "How long a connection may be silent before it is given up. Above `svalidping`.",
    ),
    Key::new(
        "stable_ms",
        Kind::Number {
            least: 0,
            most: MAX_DELAY,
            unit: "ms",
            set: |retry, time| retry.stable_after = Duration::from_millis(time),
        },
        "0, at once",
        "How long a connection has to last before failures are counted from the beginning again.",
    ),
];

/// `trust_stores`
pub(super) const TRUST_STORE: &[Key<TrustStore>] = &[
    Key::new(
        "stack",
        Kind::Names { what: "certificate", set: |store, names| store.certificates = names },
        "[]",
        "The names of the certificates to trust.",
    ),
    Key::new("system", Kind::Flag(|store, on| store.system = on), "false", "Trust whom the system trusts, too."),
];

/// `auth`: all that one of any type may say.
#[derive(Default)]
pub(super) struct AuthKeys {
    pub(super) kind: usize,
    pub(super) stream: Option<String>,
    pub(super) user: Option<Template>,
    pub(super) password: Option<Template>,
    pub(super) token: Option<Template>,
    pub(super) client_id: Option<Template>,
    pub(super) client_secret: Option<Template>,
    pub(super) scope: Option<Template>,
}

pub(super) const AUTH_TYPES: &[&str] = &["basic", "bearer", "oauth2", "sigv4"];

pub(super) const AUTH: &[Key<AuthKeys>] = &[
    Key::<AuthKeys>::new(
        "type",
        Kind::Choice { words: AUTH_TYPES, set: |auth, kind| auth.kind = kind },
        "",
        "How it is asked.",
    )
    .needed(),
    Key::new(
        "streamtype",
        Kind::Name { what: "stream", set: |auth, name| auth.stream = Some(name) },
        "",
        "`oauth2`: the stream that asks for the token.",
    ),
    Key::new("user", text(|auth, text| auth.user = Some(text)), "", "`basic`: the name."),
    Key::new("password", text(|auth, text| auth.password = Some(text)), "", "`basic`: the password."),
    Key::new("token", text(|auth, text| auth.token = Some(text)), "", "`bearer`: the token."),
    Key::new("client_id", text(|auth, text| auth.client_id = Some(text)), "", "`oauth2`: the name of the client."),
    Key::new("client_secret", text(|auth, text| auth.client_secret = Some(text)), "", "`oauth2`: its password."),
    Key::new("scope", text(|auth, text| auth.scope = Some(text)), "", "`oauth2`: what the token is to be good for."),
    Key::new(
        "blob",
        Kind::Without("there are no blobs of a system here: credentials are named values"),
        "",
        "Of libwebsockets on microcontrollers.",
    ),
];

const fn text(set: fn(&mut AuthKeys, Template)) -> Kind<AuthKeys> {
    Kind::Template { place: Place::Text, set }
}

/// 0 is none.
pub(super) fn seconds(time: u64) -> Option<Duration> {
    (time > 0).then(|| Duration::from_secs(time))
}

/// As libwebsockets has it: 32 bits of milliseconds, which are 49 days.
pub(super) const MAX_DELAY: u64 = u32::MAX as u64;
