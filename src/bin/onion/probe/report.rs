//! All that was found out, for programs and for people.

use std::fmt::{self, Display};

use onionskin::printable::Printable;
use onionskin::tls::TlsFacts;
use serde::Serialize;

use super::chain::Problem;
use super::finding::{Finding, State};
use super::groups::Groups;
use super::names::Named;
use super::refusal::Wants;
use super::rows::{count, row};
use super::shown::Certificate;
use super::times::Times;
use crate::json::harmless;

/// The report. Its fields are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) endpoint: String,
    /// `None` if TLS begins at once.
    pub(super) protocol: Option<String>,
    pub(super) verdict: Verdict,
    /// What can be done about it.
    pub(super) hint: Option<String>,
    /// What the failure is about, by its name, and whether it is safe to try again; where something has failed.
    pub(super) class: Option<&'static str>,
    pub(super) retry: Option<String>,
    /// How many connections it took.
    pub(super) connections: u32,
    /// How long it took to reach the server.
    pub(super) times: Times,
    pub(super) tls: Tls,
    pub(super) trust: Trust,
    /// The server's own first.
    pub(super) certificates: Vec<Certificate>,
    /// What is wrong with that list.
    pub(super) chain: Vec<Problem>,
    pub(super) questions: Questions,
    /// For each name that was asked for beside that of the endpoint.
    pub(super) names: Vec<Named>,
    /// If they were asked for.
    pub(super) groups: Option<Groups>,
}

/// What it all comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Sound,
    Hole,
    Untrusted,
    /// No TLS is offered: nothing came that looks like it.
    NoTls,
    /// TLS is offered, and refused for want of something.
    Refused,
    /// TLS is offered, and the handshake fails for another reason.
    Failed,
    /// A certificate will expire soon.
    Expiring,
    /// Whether there is a hole was not found out.
    Unknown,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Tls {
    #[serde(flatten)]
    pub(super) finding: Finding,
    pub(super) version: Option<String>,
    pub(super) cipher_suite: Option<String>,
    pub(super) key_exchange_group: Option<String>,
    /// Whether the server has asked for the key of another group first (HelloRetryRequest), which costs a round trip.
    pub(super) hello_retry: bool,
    pub(super) alpn: Option<String>,
    /// How long the handshake took, in milliseconds.
    pub(super) handshake_ms: Option<f64>,
    pub(super) resumed: Option<bool>,
    /// What is missing, where it is refused.
    pub(super) wants: Option<Wants>,
    pub(super) client_certificate: ClientCertificate,
    pub(super) tls1_2: Finding,
    pub(super) tls1_3: Finding,
}

/// What the server wants to know of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientCertificate {
    NotAsked,
    /// It asks for a certificate, and takes us with or without the one that we have.
    Asked,
    /// It does not take us without one, or not with the one that we have.
    Required,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Trust {
    #[serde(flatten)]
    pub(super) finding: Finding,
    /// For whom the certificate is to be valid.
    pub(super) name: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Questions {
    pub(super) glued_command: Finding,
    pub(super) glued_client_hello: Finding,
    pub(super) starttls_inside_tls: Finding,
    pub(super) close_notify: Finding,
}

impl Report {
    /// As JSON, with a field for each of the above.
    pub(super) fn json(&self) -> String {
        harmless(&serde_json::to_string_pretty(self).expect("there are only strings for keys"))
    }
}

impl Tls {
    /// Nothing is known but this.
    pub(super) fn none(finding: Finding) -> Self {
        let not_asked = Finding::new(State::NotAsked);
        Self {
            finding,
            version: None,
            cipher_suite: None,
            key_exchange_group: None,
            hello_retry: false,
            alpn: None,
            handshake_ms: None,
            resumed: None,
            wants: None,
            client_certificate: ClientCertificate::NotAsked,
            tls1_2: not_asked.clone(),
            tls1_3: not_asked,
        }
    }

    /// What a handshake has agreed on.
    pub(super) fn of(finding: Finding, facts: &TlsFacts) -> Self {
        Self {
            version: facts.version.map(|_| facts.version_name().to_owned()),
            cipher_suite: facts.cipher_suite.map(|suite| format!("{suite:?}")),
            key_exchange_group: facts.key_exchange_group.map(|group| format!("{group:?}")),
            alpn: facts.alpn.as_ref().map(|alpn| Printable::new(alpn).to_string()),
            handshake_ms: facts.handshake_time.map(|took| took.as_secs_f64() * 1000.0),
            resumed: Some(facts.resumed),
            ..Self::none(finding)
        }
    }
}

impl Questions {
    pub(super) fn not_asked() -> Self {
        let not_asked = Finding::new(State::NotAsked);
        Self {
            glued_command: not_asked.clone(),
            glued_client_hello: not_asked.clone(),
            starttls_inside_tls: not_asked.clone(),
            close_notify: not_asked,
        }
    }
}

impl Display for Report {
    /// One screen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "endpoint", &self.endpoint)?;
        match self.times.to_string() {
            nothing if nothing.is_empty() => {}
            times => row(f, "times", times)?,
        }
        match &self.tls.version {
            Some(version) => {
                let parameters = [Some(version), self.tls.cipher_suite.as_ref(), self.tls.key_exchange_group.as_ref()];
                let parameters: Vec<_> = parameters.into_iter().flatten().map(String::as_str).collect();
                let alpn = self.tls.alpn.as_ref().map_or("no ALPN".to_owned(), |alpn| format!("ALPN {alpn}"));
                let retry = if self.tls.hello_retry { ", with a HelloRetryRequest" } else { "" };
                row(f, "TLS", format_args!("{}, {alpn}{retry}", parameters.join(", ")))?;
            }
            None => row(f, "TLS", &self.tls.finding)?,
        }
        if self.tls.version.is_some() && self.tls.finding.state != State::Offered {
            row(f, "", &self.tls.finding)?;
        }
        if self.tls.tls1_2.state != State::NotAsked {
            row(f, "TLS 1.2", &self.tls.tls1_2)?;
            row(f, "TLS 1.3", &self.tls.tls1_3)?;
        }
        match self.tls.client_certificate {
            ClientCertificate::NotAsked => {}
            ClientCertificate::Asked => row(f, "client certificate", "asked for")?,
            ClientCertificate::Required => row(f, "client certificate", "REQUIRED")?,
        }
        if self.trust.finding.state != State::NotAsked {
            row(f, "trust", format_args!("{} (for {})", self.trust.finding, self.trust.name))?;
        }
        for (index, certificate) in self.certificates.iter().take(MAX_CERTIFICATES).enumerate() {
            certificate.rows(f, if index == 0 { "certificates" } else { "" }, index + 1)?;
        }
        match self.certificates.len().saturating_sub(MAX_CERTIFICATES) {
            0 => {}
            more => row(f, "", format_args!("and {more} more"))?,
        }
        for (index, problem) in self.chain.iter().take(MAX_CERTIFICATES).enumerate() {
            row(f, if index == 0 { "chain" } else { "" }, problem)?;
        }
        if self.questions.close_notify.state != State::NotAsked {
            let Questions { glued_command, glued_client_hello, starttls_inside_tls, close_notify } = &self.questions;
            row(f, "glued command", glued_command)?;
            row(f, "glued ClientHello", glued_client_hello)?;
            row(f, "STARTTLS inside TLS", starttls_inside_tls)?;
            row(f, "after close_notify", close_notify)?;
        }
        for (index, named) in self.names.iter().enumerate() {
            row(f, if index == 0 { "names" } else { "" }, named)?;
        }
        for (index, line) in self.groups.iter().flat_map(Groups::lines).enumerate() {
            row(f, if index == 0 { "groups" } else { "" }, line)?;
        }
        row(f, "verdict", format_args!("{} ({})", self.verdict, count(self.connections.into(), "connection")))?;
        self.hint.as_ref().map_or(Ok(()), |hint| row(f, "hint", hint))
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sound => "sound",
            Self::Hole => "A HOLE: what anybody says in clear is executed as if it had come through TLS",
            Self::Untrusted => "not trusted",
            Self::NoTls => "no TLS",
            Self::Refused => "TLS is offered, and refused",
            Self::Failed => "TLS is offered, and fails",
            Self::Expiring => "a certificate expires soon",
            Self::Unknown => "not found out",
        })
    }
}

/// So that all of it stays one screen; the JSON has no such limit.
const MAX_CERTIFICATES: usize = 5;
