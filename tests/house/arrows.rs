//! What a folder may use: the table of CONTRIBUTING.md, the one at the head of the library, and that of the TLS room.

use std::collections::{BTreeMap, BTreeSet};

use super::{at, maps, quoted, read, rows, sources, uses};

/// For each module at the root of the crate those that it may use.
type Allowed = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_folder_uses_what_it_must_not() {
    for (table, allowed) in tables() {
        let wrong: Vec<_> = sources(&at("src"))
            .into_iter()
            .filter(|file| !file.starts_with("bin/") && !file.contains("/tests/") && file != "lib.rs")
            .flat_map(|file| violations(&file, &read(&at("src").join(&file)), &allowed))
            .collect();
        assert!(wrong.is_empty(), "by the table in {table}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn a_wrong_arrow_is_caught() {
    for (table, allowed) in tables() {
        for (file, source) in [
            ("stack/made_up.rs", "use crate::layer::Deflate;"),
            ("stack/made_up.rs", "use crate::{printable::Printable, connection::Connection};"),
            ("layer/tls/made_up.rs", "fn f() { crate::runtime::preferred(); }"),
            ("layer/made_up.rs", "use super::super::connection::Connection;"),
            ("connection/made_up.rs", "use crate::endpoint::Endpoint;"),
            ("runtime/made_up.rs", "use crate::tls::TlsClient;"),
            ("connection/made_up.rs", "use crate::connect;"),
            ("protocol/made_up.rs", "#[cfg(feature = \"testing\")]\nuse crate::testing::Pair;"),
        ] {
            assert_eq!(violations(file, source, &allowed).len(), 1, "{source} in {file}, by {table}");
        }
        for (file, source) in [
            ("stack/made_up.rs", "//! [`Deflate`](crate::layer::Deflate)\n#[cfg(doc)]\nuse crate::layer::Deflate;"),
            ("stack/made_up.rs", "#[cfg(test)]\nmod tests {\n    use crate::testing::Dice;\n}"),
            ("stack/made_up.rs", "use crate::printable::Printable;\nuse crate::stack::Queue;"),
            ("layer/made_up.rs", "use crate::stack::Queue;\nuse crate::tls::TlsClient;"),
            ("endpoint/made_up.rs", "use crate::Connection;\nuse crate::stack::Queue;"),
        ] {
            assert_eq!(violations(file, source, &allowed), [""; 0], "{source} in {file}, by {table}");
        }
    }
}

#[test]
fn the_arrows_make_no_circle() {
    for (table, allowed) in tables() {
        assert_eq!(circle(&without_kit(allowed)), None, "in the table of {table}");
    }
    let circular = [("a", "b"), ("b", "c"), ("c", "a")].map(|(from, to)| (from.to_owned(), [to.to_owned()].into()));
    assert!(circle(&circular.into()).is_some());
}

/// The map of the room says: a line uses those below it, and no two files use each other.
#[test]
fn the_tls_room_has_no_circle_and_uses_downwards() {
    let names = maps::files_of("layer/tls/mod.rs").unwrap();
    let arrows = arrows_within("layer/tls");
    assert!(arrows["engine"].contains("records") && arrows["client"].contains("layer"), "they are found: {arrows:?}");
    assert_eq!(circle(&arrows), None);
    let line = |name: &str| names.iter().position(|row| row.iter().any(|file| stem(file) == name)).unwrap();
    for (from, to) in arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        assert!(line(from) <= line(to), "{from} uses {to}, which stands above it in the map");
    }
}

/// Which files and folders of a folder use which others.
fn arrows_within(folder: &str) -> Allowed {
    let inside = uses::module(&format!("{folder}/mod.rs"));
    let files: Vec<_> = sources(&at("src").join(folder)).into_iter().filter(|file| file != "mod.rs").collect();
    let rooms: BTreeSet<_> = files.iter().map(|file| uses::module(file)[0].clone()).collect();
    let exports = maps::exports(&read(&at("src").join(folder).join("mod.rs")));
    let mut arrows = Allowed::new();
    for file in &files {
        let from = &uses::module(file)[0];
        let module = uses::module(&format!("{folder}/{file}"));
        for found in uses::of(&read(&at("src").join(folder).join(file)), &module) {
            let Some([name, ..]) = found.path.strip_prefix(&inside[..]) else { continue };
            let to = exports.get(name).unwrap_or(name);
            if to != from && rooms.contains(to) {
                arrows.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    arrows
}

fn stem(file: &str) -> &str {
    file.trim_end_matches('/').trim_end_matches(".rs")
}

/// Each arrow of a file that the table does not allow, as a line to be shown.
fn violations(file: &str, source: &str, allowed: &Allowed) -> Vec<String> {
    let module = uses::module(file);
    let from = &module[0];
    let Some(may) = allowed.get(from) else { return Vec::new() };
    let homes = homes();
    let mut wrong = Vec::new();
    for found in uses::of(source, &module) {
        let Some(to) = found.path.first().map(|name| homes.get(name).unwrap_or(name)) else { continue };
        if to != from && allowed.contains_key(to) && !may.contains(to) {
            wrong.push(format!("src/{file}:{}: {from} uses {}", found.line, found.path.join("::")));
        }
    }
    wrong
}

/// Where what the root of the crate exports comes from: `Connection` from `connection`, `tls` from `layer`.
fn homes() -> BTreeMap<String, String> {
    maps::exports(&read(&at("src/lib.rs")))
}

fn tables() -> [(&'static str, Allowed); 2] {
    [
        (
            "CONTRIBUTING.md",
            allowed(&read(&at("CONTRIBUTING.md")), |folder| {
                let path = folder.strip_prefix("src/").filter(|path| !path.starts_with("bin"))?;
                Some(path.trim_end_matches('/').trim_end_matches(".rs").to_owned())
            }),
        ),
        ("src/lib.rs", allowed(&read(&at("src/lib.rs")), |module| Some(module.to_owned()))),
    ]
}

/// Reads a table with the columns *what*, *what lives there* and *what it may use*.
fn allowed(text: &str, module: impl Fn(&str) -> Option<String>) -> Allowed {
    let rows: Vec<_> = rows(text);
    let start = rows.iter().position(|row| row.last() == Some(&"what it may use")).expect("there is such a table");
    let rows = rows[start + 1..].iter().map_while(|row| <[&str; 3]>::try_from(&row[..]).ok());
    let rows: Vec<(String, &str, &str)> = rows
        .flat_map(|[what, about, may]| quoted(what).into_iter().filter_map(&module).map(move |name| (name, about, may)))
        .collect();
    let mut allowed = Allowed::new();
    for (name, about, may) in &rows {
        let all = rows.iter().map(|(name, ..)| name.clone());
        let mut names: BTreeSet<String> = match *may {
            "anything but `bin`" | "all of these" => all.filter(|other| other != name).collect(),
            may => quoted(may).into_iter().map(str::to_owned).collect(),
        };
        if may.contains("and what") {
            // The rows stand in order: what is named has been read before.
            let below: Vec<_> =
                names.iter().flat_map(|name| allowed.get(name).into_iter().flatten().cloned()).collect();
            names.extend(below);
        }
        if *may == "all of these" {
            names.retain(|other| allowed.contains_key(other) || is_for_all(about, may));
        }
        allowed.insert(name.clone(), names);
    }
    for (for_all, ..) in rows.iter().filter(|(_, about, may)| is_for_all(about, may)) {
        for (_, names) in allowed.iter_mut().filter(|(name, _)| *name != for_all) {
            names.insert(for_all.clone());
        }
    }
    allowed
}

fn is_for_all(about: &str, may: &str) -> bool {
    about.contains("may all use it") || may.contains("all of these show by it")
}

/// The kit may use everything, and nothing uses it but tests.
fn without_kit(mut allowed: Allowed) -> Allowed {
    allowed.remove("testing");
    allowed
}

/// A way round, if there is one.
fn circle(arrows: &Allowed) -> Option<Vec<String>> {
    fn walk(arrows: &Allowed, way: &mut Vec<String>) -> Option<Vec<String>> {
        for next in arrows.get(way.last()?).into_iter().flatten() {
            if let Some(start) = way.iter().position(|name| name == next) {
                return Some(way[start..].to_vec());
            }
            way.push(next.clone());
            let found = walk(arrows, way);
            way.pop();
            if found.is_some() {
                return found;
            }
        }
        None
    }
    arrows.keys().find_map(|name| walk(arrows, &mut vec![name.clone()]))
}
