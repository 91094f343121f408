//! What is wrong with the list of certificates that a server shows (RFC 8446 section 4.4.2), whoever trusts it: its own comes
//! first, and each further one is that of the issuer of the one before it.

use std::fmt::{self, Display};

use serde::Serialize;

use super::shown::{Certificate, Validity};

/// Something that is wrong with it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    kind: Kind,
    /// With which of them, counted from 1.
    certificate: usize,
    detail: String,
}

/// What it is called. The names stand in the JSON, and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Unreadable,
    Repeated,
    OutOfOrder,
    RootShown,
    Expired,
    NotYetValid,
    IssuerNotShown,
}

/// What is wrong with this one, where whoever verified it has or has not found its issuer. What is wrong with the server's own
/// certificate by itself is a matter of trust, and not of the list.
pub(super) fn problems(chain: &[Certificate], is_issuer_unknown: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Behind the first that is out of order, the others are so for no other reason.
    let mut is_in_order = true;
    for (index, certificate) in chain.iter().enumerate() {
        let mut add = |kind, detail| problems.push(Problem { kind, certificate: index + 1, detail });
        let Some(subject) = certificate.subject() else {
            add(Kind::Unreadable, "it cannot be read".to_owned());
            continue;
        };
        let Some(before) = index.checked_sub(1).map(|before| &chain[before]) else { continue };
        if let Some(same) = chain[..index].iter().position(|other| other.is(certificate)) {
            add(Kind::Repeated, format!("it is {}. once more", same + 1));
            continue;
        }
        match before.issuer() {
            Some(issuer) if issuer != subject && is_in_order => {
                is_in_order = false;
                add(Kind::OutOfOrder, format!("it is not that of the issuer of {index}., which is {issuer}"));
            }
            _ => {}
        }
        if certificate.is_self_issued() {
            add(Kind::RootShown, "it is its own issuer: who trusts it has it, and nobody else takes it".to_owned());
            continue;
        }
        match certificate.validity() {
            Validity::Expired => add(Kind::Expired, "it has expired".to_owned()),
            Validity::NotYetValid => add(Kind::NotYetValid, "it is not yet valid".to_owned()),
            Validity::Valid | Validity::Unreadable => {}
        }
    }
    problems.extend(issuer_not_shown(chain).filter(|_| is_issuer_unknown));
    problems
}

/// The end of the way up from the server's own certificate, if that is not a root.
fn issuer_not_shown(chain: &[Certificate]) -> Option<Problem> {
    let mut last = 0;
    // No way is longer than the list, however its names go round.
    for _ in chain {
        let here = chain.get(last)?;
        if here.is_self_issued() {
            return None;
        }
        let issuer = here.issuer()?;
        let Some(next) = chain.iter().position(|other| other.subject() == Some(issuer)) else {
            let detail = format!("its issuer, {issuer}, is neither shown nor trusted");
            return Some(Problem { kind: Kind::IssuerNotShown, certificate: last + 1, detail });
        };
        last = next;
    }
    None
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.certificate, self.detail)
    }
}
