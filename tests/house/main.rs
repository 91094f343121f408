//! The house keeps its own map: tables that name folders and files are true, and no folder uses what it must not.
//!
//! CONTRIBUTING.md says what each folder of `src/` may use, and the head of a folder's `mod.rs` what its files are for. Both
//! would rot in silence, so they are compared with the source. What the compiler sees anyway is not repeated here: the command
//! gets at the public API only, because it is a crate of its own.
#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests, and not what they call")]

mod arrows;
mod borders;
mod code;
mod maps;
mod uses;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the package, or of what is called by this path in it.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// All files of Rust in a folder and below it, as paths from the folder: `tls/layer/mod.rs`.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            found.extend(sources(&path).into_iter().map(|below| format!("{name}/{below}")));
        } else if name.ends_with(".rs") {
            found.push(name);
        }
    }
    found
}

/// The rows of the tables in a text, cell by cell, with their heads and without the lines below those.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().map(|line| line.trim_start_matches(['/', '!', ' ']));
    let rows = lines.filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What stands in backticks, also as a link.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
