//! The tables as a page, `docs/policy-keys.md`.

use std::fmt::Write;

use super::named::{AUTH, RETRY, TRUST_STORE};
use super::policy::POLICY;
use super::stream::STREAM;
use super::{Key, Kind, Side};

/// The page of all keys, as `docs/policy-keys.md` has it.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "A policy", POLICY);
    section(&mut page, "`retry`: a table of delays", RETRY);
    section(&mut page, "`trust_stores`: whom to trust", TRUST_STORE);
    section(&mut page, "`auth`: who asks", AUTH);
    section(&mut page, "`s`: a stream", STREAM);
    page
}

fn section<T>(page: &mut String, title: &str, keys: &[Key<T>]) {
    let _ = write!(page, "\n## {title}\n\n| key | value | unless set | for | what it says |\n|---|---|---|---|---|\n");
    for key in keys.iter().filter(|key| !matches!(key.kind, Kind::Without(_))) {
        let needs = key.needs.map(|key| format!(" Needs `{key}`.")).unwrap_or_default();
        let default = if key.is_needed { "has to be there" } else { key.default };
        let _ = writeln!(page, "| `{}` | {} | {default} | {} | {}{needs} |", key.name, value(key), who(key), key.about);
    }
    let without = keys.iter().filter_map(|key| match key.kind {
        Kind::Without(why) => Some((key.name, why)),
        _ => None,
    });
    let without: Vec<_> = without.map(|(name, why)| format!("`{name}` ({why})")).collect();
    if !without.is_empty() {
        let _ = write!(page, "\nRead, and without effect: {}.\n", without.join(", "));
    }
}

fn value<T>(key: &Key<T>) -> String {
    let range = |least: u64, most: u64, unit: &str| format!("{least} to {most} {unit}").trim_end().to_owned();
    match &key.kind {
        Kind::Flag(_) => "flag".to_owned(),
        Kind::Number { least, most, unit, .. } => range(*least, *most, unit),
        Kind::NumberOr { least, most, word, .. } => format!("{}, or `\"{word}\"`", range(*least, *most, "")),
        Kind::Numbers { least, most, unit, count, .. } => {
            format!("1 to {count} numbers, each {}", range(*least, *most, unit))
        }
        Kind::Time { least, .. } => range(*least, u32::MAX.into(), "ms"),
        Kind::Text { expected, .. }
        | Kind::Texted { expected, .. }
        | Kind::Numbered { expected, .. }
        | Kind::Own { expected, .. } => (*expected).to_owned(),
        Kind::Choice { words, .. } => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Template { place, .. } => format!("{place}, with `${{name}}` in it"),
        Kind::Name { what, .. } => format!("the name of a {what}"),
        Kind::Names { what, .. } => format!("the name of a {what}, or an array of them"),
        Kind::Texts { expected, .. } => format!("{expected}: one, or an array of them"),
        Kind::Without(_) => String::new(),
    }
}

fn who<T>(key: &Key<T>) -> String {
    let side = match key.side {
        Side::Client => "client",
        Side::Server => "server",
        Side::Both => "both",
    };
    let spoken: Vec<_> = key.spoken.iter().map(|spoken| spoken.name()).collect();
    if spoken.is_empty() { side.to_owned() } else { format!("{side}: {}", spoken.join(", ")) }
}

const HEAD: &str = "\
# The keys of a policy

Made from the table that the reader of policies reads by, so it lists all of them: `cargo test --features streams --test streams` compares
it, and with `ONIONSKIN_WRITE=1` in the environment writes it anew. [policy.schema.json](policy.schema.json) is the same for editors.
[streams.md](streams.md) says how a policy is written.

What has names (`retry`, `certs`, `trust_stores`, `client_certs`, `auth`, `s`, and `metadata`, `http_resp_map`, `server_names` in a stream)
is an object, or an array of objects with one name each.
";
