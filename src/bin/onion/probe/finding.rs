//! What was found out about one thing: a word for programs, a phrase for people, and the reason.

use std::fmt::{self, Display};

use onionskin::printable::Printable;
use serde::Serialize;

/// One answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) state: State,
    /// Why, or in which words.
    pub(super) detail: Option<String>,
}

/// What the answers are called. The names stand in the JSON, and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    // Whether there is TLS, or a version of it.
    Offered,
    NotOffered,
    Preauthenticated,
    Failed,
    // Whether the certificate is trusted.
    Trusted,
    UnknownIssuer,
    WrongName,
    Expired,
    NotYetValid,
    NotAccepted,
    NotChecked,
    // What becomes of a command behind the request for TLS.
    Executed,
    Dropped,
    FedToTls,
    AnsweredInClear,
    // What becomes of a ClientHello there.
    Taken,
    Lost,
    // Whether TLS starts inside TLS.
    Nests,
    Agrees,
    Replaces,
    // What follows a close_notify.
    Plaintext,
    HangsUp,
    Silent,
    // What can come of several questions.
    Refused,
    Hangs,
    DoesNotApply,
    NotAsked,
    Unknown,
}

impl Finding {
    pub(super) fn new(state: State) -> Self {
        Self { state, detail: None }
    }

    /// The question could not be asked, or the answer makes no sense.
    pub(super) fn unknown(reason: impl Display) -> Self {
        Self::new(State::Unknown).detail(reason)
    }

    pub(super) fn detail(mut self, reason: impl Display) -> Self {
        self.detail = Some(reason.to_string());
        self
    }

    /// With this too.
    pub(super) fn and(self, more: &str) -> Self {
        let detail = self.detail.as_ref().map_or_else(|| more.to_owned(), |detail| format!("{detail}; {more}"));
        self.detail(detail)
    }

    /// With this reason, and what the server said if it said anything.
    pub(super) fn quoting(self, reason: &str, heard: &[u8]) -> Self {
        match heard {
            [] => self.detail(reason),
            _ => self.detail(format_args!("{reason}, and says {}", quoted(heard))),
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(f)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offered => "offered",
            Self::NotOffered => "not offered",
            Self::Preauthenticated => "ruled out by the server, which calls us authenticated already",
            Self::Failed => "fails",
            Self::Trusted => "trusted",
            Self::UnknownIssuer => "NOT TRUSTED, unknown issuer",
            Self::WrongName => "NOT TRUSTED, wrong name",
            Self::Expired => "NOT TRUSTED, expired",
            Self::NotYetValid => "NOT TRUSTED, not yet valid",
            Self::NotAccepted => "NOT TRUSTED",
            Self::NotChecked => "not checked",
            Self::Executed => "EXECUTED INSIDE TLS",
            Self::Dropped => "dropped",
            Self::FedToTls => "goes into TLS, where the handshake fails",
            Self::AnsweredInClear => "answered in clear, before TLS",
            Self::Taken => "taken",
            Self::Lost => "lost, and waited for again",
            Self::Nests => "nests: there is a second handshake inside the first",
            Self::Agrees => "agreed to, and no handshake follows",
            Self::Replaces => "REPLACES THE FIRST: a new handshake on the bare socket, and what was in TLS is lost",
            Self::Plaintext => "goes on in clear",
            Self::HangsUp => "hangs up",
            Self::Silent => "says nothing and stays",
            Self::Refused => "refused",
            Self::Hangs => "hangs: no answer in time",
            Self::DoesNotApply => "does not apply",
            Self::NotAsked => "not asked",
            Self::Unknown => "not found out",
        })
    }
}

/// As much of an answer as is good to read: its first line, or the text in it if it is not made of text.
pub(super) fn quoted(answer: &[u8]) -> String {
    let is_text = |byte: u8| byte >= b' ' || byte.is_ascii_whitespace();
    let text = if answer.iter().copied().all(is_text) {
        answer.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii().to_vec()
    } else {
        let words = answer.split(|&byte| byte != b' ' && !byte.is_ascii_graphic());
        words.filter(|word| word.len() >= MIN_TEXT_LENGTH).collect::<Vec<_>>().join(&b' ')
    };
    Printable::new(&text).limit(MAX_SHOWN).quoted().to_string()
}

const MAX_SHOWN: usize = 72;

/// Anything shorter may be text by chance.
const MIN_TEXT_LENGTH: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_quoted_for_people() {
        assert_eq!(quoted(b"250-fine\r\n250 more"), "\"250-fine\"");
        assert_eq!(
            quoted(b"E\0\0\0\xd3SFATAL\0C08P01\0Mreceived too much\0\0"),
            "\"SFATAL C08P01 Mreceived too much\""
        );
        assert_eq!(
            quoted(b"0\x1f\x02\x01Hx\x1a\n\x01\x01\x04\0\x04\x13TLS already started"),
            "\"TLS already started\""
        );
        assert_eq!(quoted(b"\xff\xfe"), r#""\xff\xfe""#);
        assert!(quoted(&[b'x'; 100]).ends_with("xx...\""));
    }
}
