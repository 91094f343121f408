//! What a server shows to clients that ask for another name: many have a certificate for each, and some refuse those that they do
//! not know.

use std::fmt::{self, Display};

use serde::Serialize;

use super::chain::{Problem, problems};
use super::finding::{Finding, State};
use super::look::Look;
use super::refusal::Wants;
use super::report::Verdict;
use super::rows::count;
use super::server::Server;
use super::shown::{self, Certificate};
use super::told;
use crate::failure::{Failure, Status};

/// What came of asking for one name.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Named {
    name: String,
    /// Whether there is TLS by that name, as for the server itself.
    #[serde(flatten)]
    finding: Finding,
    wants: Option<Wants>,
    version: Option<String>,
    alpn: Option<String>,
    trust: Finding,
    /// The server's own first.
    certificates: Vec<Certificate>,
    /// What is wrong with that list.
    chain: Vec<Problem>,
    /// Whether its own is the one that it shows by the name of the endpoint.
    same_certificate: Option<bool>,
}

impl Named {
    /// Asks a server that is [called](Server::called) by the name. `usual` are the certificates by the name of the endpoint.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached any more.
    pub(super) async fn at(server: &Server, usual: &[Certificate]) -> Result<Self, Failure> {
        let look = Look::at(server).await?;
        let certificates: Vec<_> = look.chain.iter().map(Certificate::of).collect();
        let tls = told::tls(&look);
        let trust = told::trust(server, &look.trust, &certificates);
        let own = certificates.first().zip(usual.first());
        Ok(Self {
            name: server.name().to_owned(),
            finding: tls.finding,
            wants: tls.wants,
            version: tls.version,
            alpn: tls.alpn,
            chain: problems(&certificates, trust.state == State::UnknownIssuer),
            trust,
            same_certificate: own.map(|(own, usual)| own.is(usual)),
            certificates,
        })
    }

    /// What is wrong by this name, if anything is.
    pub(super) fn fault(&self, warn_days: Option<u16>) -> Option<(Verdict, Status, String)> {
        let by = |what: &dyn Display| format!("by the name {}: {what}", self.name);
        match (self.finding.state, self.trust.state) {
            (State::Offered, State::Trusted | State::NotChecked) => {
                let days = shown::days_left(&self.certificates)?;
                let limit = warn_days.map(i64::from).filter(|&limit| days < limit)?;
                let message = format_args!("a certificate has {days} days left, fewer than {limit}");
                Some((Verdict::Expiring, Status::Expiring, by(&message)))
            }
            (State::Offered, _) => Some((Verdict::Untrusted, Status::Untrusted, by(&self.trust))),
            (State::Refused | State::HangsUp, _) => Some((Verdict::Refused, Status::Refused, by(&self.finding))),
            _ => Some((Verdict::Failed, Status::Failed, by(&self.finding))),
        }
    }
}

impl Display for Named {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finding = if self.finding.state == State::Offered { &self.trust } else { &self.finding };
        write!(f, "{}: {finding}", self.name)?;
        let Some(own) = self.certificates.first() else { return Ok(()) };
        if self.same_certificate == Some(true) {
            return f.write_str(", by the same certificate");
        }
        write!(f, ", by {own}")?;
        if let Some(days) = shown::days_left(&self.certificates) {
            write!(f, ", {} left", count(days, "day"))?;
        }
        self.chain.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}
