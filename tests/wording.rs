//! Phrases that made readers stumble, or hid the trade's word from a search, do not come back; and the trade's words are there.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn no_phrase_on_the_list_is_in_the_sources_or_the_documentation() {
    let found: Vec<_> = texts().iter().flat_map(|(path, text)| hits(path, text)).collect();
    assert!(found.is_empty(), "say it another way:\n{}", found.join("\n"));
}

#[test]
fn the_words_of_the_trade_are_found_in_the_library() {
    let library: String = texts().into_iter().filter(|(path, _)| is_library(path)).map(|(_, text)| text).collect();
    for word in WORDS {
        assert!(library.contains(word), "whoever searches for {word:?} finds nothing in src/");
    }
}

/// Also where a line ends in the middle of it.
#[test]
fn a_phrase_is_found_whatever_line_it_is_on() {
    let text = one_line("    //! A layer takes\n    //! leave of its peer.\n");
    assert_eq!(hits(Path::new("a.rs"), &text), ["a.rs: \"takes leave\": send its end, close, close gracefully"]);
    assert!(hits(Path::new("a.rs"), &one_line("//! It closes\n//! gracefully.")).is_empty());
}

fn hits(path: &Path, text: &str) -> Vec<String> {
    let phrases = PHRASES.iter().filter(|(phrase, _)| text.contains(phrase));
    phrases.map(|(phrase, instead)| format!("{}: {phrase:?}: {instead}", path.display())).collect()
}

fn texts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "docs", "examples"] {
        collect(&root.join(folder), &mut files);
    }
    files.push(root.join("README.md"));
    files.push(root.join("CONTRIBUTING.md"));
    let text = |path: &PathBuf| one_line(&fs::read_to_string(path).expect("a file of ours is text"));
    files.iter().map(|path| (path.strip_prefix(root).expect("it is below").to_owned(), text(path))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of ours can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "md") {
            files.push(path);
        }
    }
}

/// The text without the ends of its lines and the marks of comments.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim().trim_start_matches(['/', '!']).trim());
    lines.collect::<Vec<_>>().join(" ").to_lowercase()
}

fn is_library(path: &Path) -> bool {
    path.starts_with("src") && !path.starts_with("src/bin")
}

/// What is not said, and what is said instead.
const PHRASES: [(&str, &str); 25] = [
    ("for the eyes", "made visible, drawn"),
    ("take leave", "send its end, close, close gracefully"),
    ("takes leave", "send its end, close, close gracefully"),
    ("taken leave", "send its end, close, close gracefully"),
    ("took leave", "send its end, close, close gracefully"),
    ("go on below it", "continue below it, or on the layer below"),
    ("goes on below", "continue below it, or on the layer below"),
    ("gone on below", "continue below it, or on the layer below"),
    ("comes to nothing", "has no effect"),
    ("come to nothing", "has no effect"),
    ("has shaken hands", "the handshake is done"),
    ("as it stands", "unchanged, at this moment"),
    ("is told of", "hears of, is reported, gets"),
    ("was told of", "heard of, was reported, was sent"),
    ("to be had", "available, served, is there"),
    ("whom the layer", "the layer that was given something"),
    ("whom a layer", "the layer that was given something"),
    ("closed in order", "closed gracefully"),
    ("close in order", "a graceful close"),
    ("end in order", "a graceful end"),
    ("ended in order", "ended gracefully"),
    ("ends in order", "ends gracefully"),
    ("closes in order", "closes gracefully"),
    ("first plan", "reasons, not history"),
    ("was tried and taken back", "reasons, not history"),
];

const WORDS: [&str; 7] =
    ["half-close", "zero-copy", "graceful", "state machine", "invariant", "backpressure", "idempotent"];
