//! What is shown of a certificate. Whether it is trusted is not for this file to say.

use std::fmt::{self, Display};
use std::time::SystemTime;

use onionskin::rustls::pki_types::CertificateDer;
use onionskin::tls::CertificateFacts;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::rows::{count, row};

/// What stands in a certificate. Everything but `sha256` and `validity` is empty if it cannot be read.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Certificate {
    subject: Option<String>,
    issuer: Option<String>,
    /// As hexadecimal digits, with colons between the bytes.
    serial: Option<String>,
    /// SHA-256 of the certificate as it came, in hexadecimal digits.
    sha256: String,
    /// The subject alternative names (RFC 5280 section 4.2.1.6).
    names: Vec<String>,
    /// Days, as in 2026-11-30, in UTC.
    not_before: Option<String>,
    not_after: Option<String>,
    /// Whole days up to `not_after`; below zero when that has passed.
    days_left: Option<i64>,
    validity: Validity,
    /// The kind of its key, and how long that is: `RSA 2048`.
    key: Option<String>,
    #[serde(skip)]
    is_self_issued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Validity {
    Valid,
    Expired,
    NotYetValid,
    Unreadable,
}

impl Certificate {
    pub(super) fn of(der: &CertificateDer<'_>) -> Self {
        let sha256 = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
        match CertificateFacts::read(der) {
            Some(facts) => Self::readable(facts, sha256, SystemTime::now()),
            None => Self {
                subject: None,
                issuer: None,
                serial: None,
                sha256,
                names: Vec::new(),
                not_before: None,
                not_after: None,
                days_left: None,
                validity: Validity::Unreadable,
                key: None,
                is_self_issued: false,
            },
        }
    }

    fn readable(facts: CertificateFacts, sha256: String, now: SystemTime) -> Self {
        let [not_before, not_after] = facts.days();
        Self {
            sha256,
            not_before: Some(not_before),
            not_after: Some(not_after),
            days_left: Some(facts.days_left(now)),
            validity: match () {
                () if facts.is_not_yet_valid(now) => Validity::NotYetValid,
                () if facts.has_expired(now) => Validity::Expired,
                () => Validity::Valid,
            },
            key: facts.key.map(|key| key.to_string()),
            is_self_issued: facts.is_self_issued(),
            subject: Some(facts.subject),
            issuer: Some(facts.issuer),
            serial: Some(facts.serial),
            names: facts.names,
        }
    }

    /// With commas between them, the first few.
    fn names_shown(&self) -> String {
        let mut names = self.names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
        if let more @ 1.. = self.names.len().saturating_sub(MAX_NAMES) {
            names.push_str(&format!(" and {more} more"));
        }
        names
    }

    /// Whether it is that one.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }

    /// Whether it names itself as its issuer, as one does that was never given to an authority.
    pub(super) fn is_self_issued(&self) -> bool {
        self.is_self_issued
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(super) fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificate that is the `number`th of its chain.
    pub(super) fn rows(&self, f: &mut fmt::Formatter<'_>, label: &str, number: usize) -> fmt::Result {
        let (Some(subject), Some(issuer)) = (&self.subject, &self.issuer) else {
            return row(f, label, format_args!("{number}. cannot be read"));
        };
        row(f, label, format_args!("{number}. {}", if subject.is_empty() { "no subject" } else { subject }))?;
        let names = self.names_shown();
        if !names.is_empty() {
            row(f, "", format_args!("   for {names}"))?;
        }
        let key = self.key.as_ref().map(|key| format!(", {key}")).unwrap_or_default();
        row(f, "", format_args!("   by {issuer}{key}"))?;
        let (begin, end) = (self.not_before.as_deref(), self.not_after.as_deref());
        let span = format!("{} to {}", begin.unwrap_or_default(), end.unwrap_or_default());
        let days = self.days_left.unwrap_or_default();
        match self.validity {
            Validity::Expired => row(f, "", format_args!("   EXPIRED {} ago, {span}", count(-days, "day"))),
            Validity::NotYetValid => row(f, "", format_args!("   NOT YET VALID, {span}")),
            Validity::Valid | Validity::Unreadable => {
                row(f, "", format_args!("   {} left, {span}", count(days, "day")))
            }
        }
    }
}

impl Display for Certificate {
    /// The names that it is for, or its subject, and who has issued it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(subject), Some(issuer)) = (&self.subject, &self.issuer) else {
            return f.write_str("a certificate that cannot be read");
        };
        match &*self.names_shown() {
            "" => write!(f, "a certificate of {}", if subject.is_empty() { "nobody" } else { subject })?,
            names => write!(f, "a certificate for {names}")?,
        }
        write!(f, " by {issuer}")
    }
}

/// How many days there are until the first of them expires that counts: a root is trusted for being known, not for its dates.
pub(super) fn days_left(chain: &[Certificate]) -> Option<i64> {
    let counts = chain.iter().enumerate().filter(|(index, certificate)| *index == 0 || !certificate.is_self_issued);
    counts.filter_map(|(_, certificate)| certificate.days_left).min()
}

/// More names are not shown to people; the JSON has no such limit.
const MAX_NAMES: usize = 6;
