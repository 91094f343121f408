//! Why a stream is refused (RFC 6120 section 4.9).
//!
//! ```xml
//! <stream:error>
//!   <host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>
//!   <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>no such host here</text>
//! </stream:error>
//! ```

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use crate::printable::Printable;
use crate::starttls::Error;

/// The error for a whole child that says no: the condition it names and its text, or all of it if it has no condition.
pub(super) fn refusal(whole: &[u8]) -> Error {
    let (condition, text) = read(whole);
    match condition {
        Some(condition) => {
            let condition = Printable::new(&condition).limit(MAX_CONDITION_LENGTH).to_string();
            Error::refused_with(&condition, text.trim().as_bytes())
        }
        None => Error::refused(whole),
    }
}

/// The name of the first child that is no text, and the text. The piece was found to be sound before, so what cannot be read
/// here is just left out.
fn read(whole: &[u8]) -> (Option<String>, String) {
    let mut reader = Reader::from_reader(whole);
    let (mut condition, mut text) = (None, String::new());
    let (mut depth, mut in_text) = (0, false);
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                depth += 1;
                let name = start.local_name().as_ref().to_owned();
                in_text = depth == 2 && name == "text";
                if depth == 2 && !in_text {
                    condition.get_or_insert(name);
                }
            }
            Event::Empty(empty) if depth == 1 => {
                let name = empty.local_name().as_ref().to_owned();
                if name != "text" {
                    condition.get_or_insert(name);
                }
            }
            Event::End(_) => {
                depth -= 1;
                in_text = false;
            }
            Event::Text(part) if in_text => text.push_str(&String::from_utf8_lossy(part.as_bytes())),
            Event::GeneralRef(name) if in_text => match name.resolve_char_ref() {
                Ok(Some(character)) => text.push(character),
                _ => text.push_str(resolve_xml_entity(&name).unwrap_or_default()),
            },
            Event::Eof => break,
            _ => {}
        }
    }
    (condition, text)
}

/// Those of RFC 6120 have 24 characters at most; an application may have its own.
const MAX_CONDITION_LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(whole: &str) -> String {
        refusal(whole.as_bytes()).to_string()
    }

    #[test]
    fn the_condition_and_the_text_are_told() {
        let error =
            "<stream:error><host-unknown xmlns='a'/><text xmlns='a'>no &lt;such&#62; &amp;c</text></stream:error>";
        assert_eq!(shown(error), "the server refused: host-unknown, \"no <such> &c\"");
        let before = "<e><text>  why  </text><see-other-host xmlns='a'>b.example</see-other-host><more/></e>";
        assert_eq!(shown(before), "the server refused: see-other-host, \"why\"");
        let long = format!("<e><{} xmlns='a'/></e>", "x".repeat(8000));
        assert!(shown(&long).ends_with("xxx...") && shown(&long).len() < 100);
        assert_eq!(shown("<e><reset xmlns='a'/></e>"), "the server refused: reset");
        assert_eq!(shown("<failure xmlns='a'/>"), "the server refused: \"<failure xmlns='a'/>\"");
        assert_eq!(shown("<e><text>only that</text></e>"), "the server refused: \"<e><text>only that</text></e>\"");
    }
}
