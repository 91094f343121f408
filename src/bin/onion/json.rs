//! JSON that a terminal can show.

use onionskin::printable::is_printable;

/// For a terminal too: what stands in a string and is not to be read is escaped, and is the same string to a program.
/// Outside of its strings JSON has nothing of that kind but line feeds, which serde escapes inside of them.
pub(crate) fn harmless(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || is_printable(character) {
            harmless.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            harmless.push_str(&format!("\\u{unit:04x}"));
        }
    }
    harmless
}
