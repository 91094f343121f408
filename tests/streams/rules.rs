//! What holds for any text that somebody calls a policy.

use onionskin::streams::policy::{Destinations, Document, Place, Policy, Template};

/// Nothing panics; what is read prints and reads the same; mistakes are in the text; and no value adds to a place.
pub(crate) fn hold(text: &str) {
    let lenient = Policy::read_leniently(text);
    let strict = Policy::read(text);
    let (policy, passed_over) = match lenient {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.to_string().is_empty() && strict.is_err());
            return;
        }
    };
    let lines = text.bytes().filter(|&byte| byte == b'\n').count() + 1;
    for mistake in &passed_over {
        assert!(mistake.line().is_some_and(|line| line <= lines), "{mistake}");
        assert!(mistake.path().starts_with('$') && !mistake.to_string().contains('\n'), "{mistake}");
    }
    let is_right = !passed_over.iter().any(|mistake| mistake.kind().is_mistake());
    assert_eq!(strict.is_ok(), is_right, "{passed_over:?}");

    if let Ok(document) = Document::parse(text) {
        let printed = document.to_string();
        let again = Document::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert!(again == document && again.to_string() == printed, "{printed}");
        let same = again.policy().ok() == strict.clone().ok();
        assert!(same, "{text}\nprints as\n{printed}");
        assert_eq!(again.policy_leniently("".as_ref()).0, policy);
        // A patch of itself changes nothing.
        if strict.is_ok() && !printed.contains("null") {
            assert_eq!(document.overlay(&printed).unwrap(), document, "{printed}");
        }
    }
    if strict.is_ok() {
        policy.check().unwrap();
    }
    let destinations = Destinations::new(policy);
    let policy = destinations.policy();
    for (name, stream) in &policy.streams {
        for (_, template) in stream.templates() {
            HOSTILE.iter().for_each(|value| is_contained(template, value));
        }
        // Files are not for this, and neither is whom the system trusts, which takes its time to be read.
        if stream.tls.is_on {
            continue;
        }
        for value in HOSTILE {
            let _ = destinations.client(name, |_| Some(value));
            let _ = destinations.server(name, |_| Some(value));
        }
    }
}

/// A value that is let in adds no line, no level, no segment and no wildcard.
fn is_contained(template: &Template, value: &str) {
    let Ok(filled) = template.fill(|_| Some(value)) else { return };
    let harmless = template.fill(|_| Some("v")).expect("a letter is nothing special anywhere");
    let count = |text: &str, signs: &[char]| text.matches(signs).count();
    let signs: &[char] = match template.place() {
        Place::Host if template.is_one_value() => &['/', '@', '\r', '\n', ' '],
        Place::Host => &['/', '@', ':', '\r', '\n', ' '],
        Place::Url => &['/', '?', '#', '&', '=', ' ', '\r', '\n'],
        Place::Header => &['\r', '\n', '\0'],
        Place::Topic | Place::Filter => &['/', '+', '#', '\0', '\n'],
        _ => &['\0'],
    };
    assert_eq!(count(&filled, signs), count(&harmless, signs), "{template} with {value:?}: {filled:?}");
    if template.place() == Place::Url {
        let dots = |text: &str| {
            text.split('?').next().unwrap_or_default().split('/').filter(|part| [".", ".."].contains(part)).count()
        };
        assert_eq!(dots(&filled) > 0, dots(&harmless) > 0, "{template} with {value:?}");
    }
}

const HOSTILE: [&str; 10] =
    ["", ".", "..", "../a?b=c&d#e", "a\r\nb: c", "#", "+/x", "$SYS", "user@host:1/", "http://evil.example/ \0"];
