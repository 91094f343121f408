//! Which modules a file of Rust names, as paths from the root of the crate.

use super::code;

/// A path that a file names, and the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// All paths that begin with `crate`, `self` or `super` in a file, which is the module `module`.
pub(crate) fn of(source: &str, module: &[String]) -> Vec<Use> {
    let code = code::of(source);
    let mut uses = Vec::new();
    for root in ["crate", "self", "super"] {
        let mut from = 0;
        while let Some(found) = code[from..].find(&format!("{root}::")) {
            let at = from + found;
            from = at + root.len();
            let before = code[..at].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            for path in paths(&code[at..]) {
                if let Some(path) = from_the_root(&path, module) {
                    uses.push(Use { path, line });
                }
            }
        }
    }
    uses
}

/// The module that a file is: `["layer", "tls", "engine"]` for `layer/tls/engine.rs`.
pub(crate) fn module(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap();
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// The paths that one begins, of which there are several when it has braces.
fn paths(code: &str) -> Vec<Vec<String>> {
    let name_len = code.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(code.len());
    let (name, rest) = code.split_at(name_len);
    if name.is_empty() {
        // What follows is no name: an argument, a star.
        return vec![Vec::new()];
    }
    let Some(below) = rest.strip_prefix("::") else { return vec![vec![name.to_owned()]] };
    let below = match below.strip_prefix('{') {
        None => paths(below),
        Some(list) => list_of(list).into_iter().flat_map(paths).collect(),
    };
    below.into_iter().map(|path| [vec![name.to_owned()], path].concat()).collect()
}

/// What stands between braces, as far as commas go.
fn list_of(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                items.push(list[start..at].trim());
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

fn from_the_root(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let mut whole = module.to_vec();
    for (index, name) in path.iter().enumerate() {
        match name.as_str() {
            "crate" if index == 0 => whole.clear(),
            "self" => {}
            // A module in the file has one more above it than the file, so this may lead too far up, and is then no path.
            "super" => drop(whole.pop()?),
            _ => return Some([&whole, &path[index..]].concat()),
        }
    }
    Some(whole)
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let found = |source: &str| -> Vec<String> {
        let mut paths: Vec<_> =
            of(source, &module("layer/tls/engine.rs")).iter().map(|found| found.path.join("::")).collect();
        paths.sort();
        paths
    };
    assert_eq!(found("use crate::stack::{End, Queue};"), ["stack::End", "stack::Queue"]);
    assert_eq!(found("use crate::{\n    a::b,\n    c::{d, e as f},\n};"), ["a::b", "c::d", "c::e"]);
    assert_eq!(
        found("fn f() { crate::driver::run(); super::g::<super::super::Halves>() }"),
        ["driver::run", "layer::Halves", "layer::tls::g"]
    );
    assert_eq!(found("use super::super::super::connection::Connection;"), ["connection::Connection"]);
    assert_eq!(found("pub use self::inner::A;"), ["layer::tls::engine::inner::A"]);
    assert!(found("use other_crate::stack; // crate::stack::End\nlet text = \"crate::stack\";").is_empty());
    assert_eq!(module("layer/tls/mod.rs"), ["layer", "tls"]);
    assert_eq!(of("\n\nuse crate::a;", &[])[0].line, 3);
}
