//! What a proxy challenges with.

use std::fmt;

use super::scanner::{Scanner, is_token, text};

/// How a proxy wants to be told who asks: the challenges of its `Proxy-Authenticate` (RFC 9110, section 11.7.1).
///
/// Prints as the schemes and their realms: `Basic realm="squid", Negotiate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenges(Vec<Challenge>);

/// One of [`Challenges`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// The scheme, as it was written: `Basic`. No case counts in it.
    pub scheme: String,
    /// What stands behind the scheme as one word, as in `Negotiate` and `NTLM`.
    pub token: Option<String>,
    /// The parameters, their names in lower case.
    pub parameters: Vec<(String, String)>,
}

impl Challenges {
    /// Those of the values of all fields of that name. What cannot be read ends the challenges of its field.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut challenges = Vec::new();
        for value in values {
            let mut scanner = Scanner(value);
            challenges.extend(std::iter::from_fn(|| Challenge::next(&mut scanner)));
        }
        Self(challenges)
    }

    /// Each of them, as they stand.
    pub fn iter(&self) -> impl Iterator<Item = &Challenge> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// That of Basic (RFC 7617), if the proxy takes a user and a password in this way.
    #[must_use]
    pub fn basic(&self) -> Option<&Challenge> {
        self.iter().find(|challenge| challenge.is("Basic"))
    }
}

impl Challenge {
    /// Whether it is of this scheme.
    #[must_use]
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// For what the user and the password are.
    #[must_use]
    pub fn realm(&self) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name == "realm").map(|(_, value)| value.as_str())
    }

    fn next(scanner: &mut Scanner<'_>) -> Option<Self> {
        scanner.pass_commas();
        let scheme = scanner.token()?;
        let mut challenge = Self { scheme, token: None, parameters: Vec::new() };
        if scanner.pass_blanks() {
            challenge.token = word(scanner);
            if challenge.token.is_none() {
                challenge.parameters.extend(std::iter::from_fn(|| parameter(scanner)));
            }
        }
        scanner.pass_blanks();
        if !scanner.0.starts_with(b",") {
            // Its end, or what cannot be read.
            *scanner = Scanner(&[]);
        }
        Some(challenge)
    }
}

/// A `token68`, which is the only thing behind its scheme. A parameter may begin like one.
fn word(scanner: &mut Scanner<'_>) -> Option<String> {
    let mut ahead = *scanner;
    let front = ahead.take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
    let padding = ahead.take_while(|byte| byte == b'=');
    let word = text(&scanner.0[..front.len() + padding.len()]).filter(|_| !front.is_empty())?;
    ahead.pass_blanks();
    let is_alone = ahead.is_at_end() || ahead.0[0] == b',';
    is_alone.then(|| {
        *scanner = ahead;
        word
    })
}

/// The next parameter; none if the next challenge comes first.
fn parameter(scanner: &mut Scanner<'_>) -> Option<(String, String)> {
    let mut ahead = *scanner;
    ahead.pass_commas();
    let name = ahead.token()?.to_ascii_lowercase();
    ahead.pass_blanks();
    if !ahead.pass(b'=') {
        return None;
    }
    ahead.pass_blanks();
    let value = ahead.quoted().or_else(|| text(ahead.take_while(is_token)))?;
    *scanner = ahead;
    Some((name, value))
}

impl fmt::Display for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, challenge) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(&challenge.scheme)?;
            if let Some(realm) = challenge.realm() {
                write!(f, " realm={realm:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Challenges {
        Challenges::of(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn challenges_are_told_from_their_parameters() {
        let read = read(&[
            r#"basic realm="a, \"b\"", charset=UTF-8 , Negotiate, NTLM TlRM==,Digest realm=x, qop="auth", , nonce = "1""#,
            "Bearer",
        ]);
        let shown: Vec<_> =
            read.iter().map(|one| (&one.scheme[..], one.token.as_deref(), one.parameters.len())).collect();
        let expected = [
            ("basic", None, 2),
            ("Negotiate", None, 0),
            ("NTLM", Some("TlRM=="), 0),
            ("Digest", None, 3),
            ("Bearer", None, 0),
        ];
        assert_eq!(shown, expected);
        assert_eq!(read.basic().unwrap().realm(), Some(r#"a, "b""#));
        assert_eq!(read.to_string(), r#"basic realm="a, \"b\"", Negotiate, NTLM, Digest realm="x", Bearer"#);
    }

    #[test]
    fn what_cannot_be_read_is_no_challenge() {
        for (value, count) in [
            ("", 0),
            (" , ,", 0),
            ("=", 0),
            (r#"Basic realm="open"#, 1),
            ("Basic \u{fc}", 1),
            ("Basic realm=x \u{fc}, y", 1),
        ] {
            assert_eq!(read(&[value]).iter().count(), count, "{value:?}");
        }
    }
}
