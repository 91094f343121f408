//! Endpoint strings.

use onionskin::endpoint::Endpoint;

/// What parses prints as something that parses to the same; an error points into the string and fits on a line.
pub fn endpoints(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    match input.parse::<Endpoint>() {
        Ok(endpoint) => {
            let printed = endpoint.to_string();
            let again: Endpoint =
                printed.parse().unwrap_or_else(|error| panic!("{printed:?} does not parse back: {error}"));
            assert_eq!(again, endpoint, "{input:?} prints as {printed:?}");
            assert_eq!(again.to_string(), printed);
        }
        Err(error) => {
            assert!(error.position() <= input.len(), "{} is outside of {input:?}", error.position());
            assert!(input.is_char_boundary(error.position()));
            assert!(!error.to_string().is_empty());
        }
    }
}
