//! The rules for any text, held to texts that are nearly policies.

use onionskin::streams::policy::Document;
use onionskin::testing::Dice;

use super::policies::POLICIES;
use super::rules;

#[test]
fn the_rules_hold_for_policies_that_people_would_write() {
    POLICIES.iter().for_each(|(_, text)| rules::hold(text));
}

/// Pieces of policies are cut out, doubled, exchanged and damaged.
#[test]
fn the_rules_hold_for_damaged_policies() {
    let mut read = 0;
    for seed in 0..600 {
        let mut dice = Dice::new(seed);
        let (_, text) = POLICIES[dice.below(POLICIES.len())];
        let (_, other) = POLICIES[dice.below(POLICIES.len())];
        let mut words = words(text);
        let others = self::words(other);
        for _ in 0..=dice.below(4) {
            let at = dice.below(words.len());
            match dice.below(5) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, words[at].clone()),
                2 => words[at] = others[dice.below(others.len())].clone(),
                3 => words[at] = WORDS[dice.below(WORDS.len())].to_owned(),
                _ => {
                    let to = dice.below(words.len());
                    words.swap(at, to);
                }
            }
        }
        let damaged = words.concat();
        eprintln!("seed {seed}");
        rules::hold(&damaged);
        let parsed = Document::parse(&damaged).is_ok();
        read += usize::from(parsed);
        // What is JSON here is JSON to everybody, but for numbers that are too large for some.
        let other = serde_json::from_str::<serde_json::Value>(&damaged).map_err(|error| error.to_string());
        let is_too_large = other.as_ref().is_err_and(|error| error.contains("number out of range"));
        assert!(!parsed || other.is_ok() || is_too_large, "seed {seed}: {other:?}: {damaged}");
    }
    assert!((50..550).contains(&read), "{read} of 600 were JSON: the damage is too large or too small");
}

/// Texts in quotes, words, and signs.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_in_text = false;
    for letter in text.chars() {
        if letter == '"' {
            is_in_text = !is_in_text;
        }
        let last = words.last_mut().unwrap();
        last.push(letter);
        if !is_in_text && !letter.is_alphanumeric() {
            words.push(String::new());
        }
    }
    words
}

const WORDS: [&str; 14] = [
    "null",
    "true",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"\"",
    "\"${x}\"",
    "1e40",
    "-1",
    "18446744073709551616",
    "\"\\u0000\"",
    "\"port\"",
];
