//! `onion probe`: what an operator wants to know of a server, and four questions that a good client never asks.
//!
//! | file | idea |
//! |---|---|
//! | `probe/server.rs` | how to reach the server, and to start TLS with it |
//! | `probe/questions.rs`, `probe/later.rs`, `probe/witness.rs` | the four questions, each on a connection of its own |
//! | `probe/words.rs`, `probe/answers.rs` | what is said in each protocol, and what the answers mean |
//! | `probe/finding.rs`, `probe/report.rs`, `probe/certificate.rs` | what was found out, for programs and for people |
//!
//! Every step has a deadline, so a server that hangs is something that was found out, and no failure of the probe.

mod answers;
mod certificate;
mod finding;
mod later;
mod questions;
mod report;
mod server;
mod witness;
mod words;

use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onionskin::connection::Error;
use onionskin::runtime::Runtime;
use onionskin::rustls::{self, CertificateError, ProtocolVersion};
use onionskin::starttls;
use onionskin::tls::{TlsFacts, Version};

use self::certificate::Certificate;
use self::finding::{Finding, State};
use self::report::{Questions, Report, Tls, Verdict};
use self::server::{Server, Trust};
use crate::credentials::IdentityFiles;
use crate::failure::Failure;
use crate::open::{self, ClientDefaults};

/// Look at the TLS of a server, and try what an attacker would try with its STARTTLS
///
/// Shows the versions, the certificates and whether they are trusted. Then it finds out what the server does with a command
/// sent in one segment with the request for TLS (glued to it), with a ClientHello sent in that way, with a request for TLS
/// inside TLS, and after a close_notify. It says nothing but harmless commands, and makes at most seven connections, one
/// after the other.
#[derive(Debug, Args)]
#[command(after_help = ANSWERS)]
pub(crate) struct Options {
    /// Which server, with TLS as its last step: tcp:mail.example:25+starttls:smtp, tcp:mail.example:993+tls
    endpoint: String,
    /// Whom to trust instead of the authorities of the system
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    /// How long the server may take for each step
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    timeout: NonZeroU16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    identity: IdentityFiles,
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let endpoint = open::parse(&options.endpoint)?;
    let defaults = ClientDefaults { trust_anchors: options.ca.as_ref(), insecure: false, identity: &options.identity };
    let complete = open::complete(&endpoint, &defaults)?;
    let timeout = Duration::from_secs(options.timeout.get().into());
    let server = Server::new(runtime, &complete, timeout)?;

    let (report, failure) = look(&server, endpoint.to_string()).await?;
    let text = if options.json { report.json() + "\n" } else { report.to_string() };
    io::stdout().lock().write_all(text.as_bytes())?;
    failure.map_or(Ok(()), Err)
}

/// What there is to report, and what is to be failed with, if anything.
async fn look(server: &Server, endpoint: String) -> Result<(Report, Option<Failure>), Failure> {
    let mut report = Report {
        endpoint,
        protocol: server.protocol().map(|protocol| protocol.to_string()),
        verdict: Verdict::Sound,
        connections: 0,
        tls: Tls::none(Finding::new(State::NotAsked)),
        trust: report::Trust { finding: Finding::new(State::NotAsked), name: server.name().to_owned() },
        certificates: Vec::new(),
        questions: Questions::not_asked(),
    };
    let mut failure = None;
    let (facts, trust) = match shake_hands(server).await? {
        Ok(both) => both,
        Err(error) => {
            report.tls = Tls::none(no_tls(&error));
            report.verdict = Verdict::NoTls;
            report.connections = server.connections();
            return Ok((report, Some(error.into())));
        }
    };
    report.certificates = facts.peer_certificates.iter().map(Certificate::read).collect();
    report.trust.finding = match trust {
        _ if server.trusts_everyone() => Finding::new(State::NotChecked),
        Ok(()) => Finding::new(State::Trusted),
        Err(error) => {
            let finding = untrusted(&error);
            report.verdict = Verdict::Untrusted;
            failure = Some(error.into());
            match report.certificates.first() {
                Some(own) if own.is_self_issued() => finding.and("the certificate is its own issuer"),
                _ => finding,
            }
        }
    };
    report.tls = versions(server, &facts).await?;
    report.questions = ask(server).await;
    let glued = &report.questions.glued_command;
    match glued.state {
        State::Executed => {
            report.verdict = Verdict::Hole;
            failure = Some(Failure::hole(format_args!(
                "{}: a command behind the request for TLS, sent in clear, is executed inside TLS",
                report.endpoint
            )));
        }
        State::Unknown if failure.is_none() => {
            report.verdict = Verdict::Unknown;
            failure = Some(Failure::new(format_args!(
                "{}: what becomes of a command behind the request for TLS was {glued}",
                report.endpoint
            )));
        }
        _ => {}
    }
    report.connections = server.connections();
    Ok((report, failure))
}

/// A handshake that verifies, and if the certificate is not accepted, another that shows it all the same.
async fn shake_hands(server: &Server) -> Result<Result<(TlsFacts, Result<(), Error>), Error>, Failure> {
    let mut trust = Ok(());
    let mut layer = server.layer(Trust::AsConfigured, None)?;
    loop {
        let mut conn = server.connect().await?;
        match server.start_tls(&mut conn, layer).await {
            Ok(facts) => {
                server.leave(conn).await;
                return Ok(Ok((facts, trust)));
            }
            Err(error) if error.is_certificate() && trust.is_ok() => {
                trust = Err(error);
                layer = server.layer(Trust::Everyone, None)?;
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// The version that the first handshake agreed on is there; the other one has to be asked for.
async fn versions(server: &Server, facts: &TlsFacts) -> Result<Tls, Failure> {
    let offered = Finding::new(State::Offered);
    Ok(match facts.version {
        Some(ProtocolVersion::TLSv1_3) => Tls::of(facts, offers(server, Version::Tls12).await?, offered),
        _ if server.newest() == Version::Tls12 => {
            Tls::of(facts, offered, Finding::new(State::DoesNotApply).because("the protocol has no more than TLS 1.2"))
        }
        _ => Tls::of(facts, offered, offers(server, Version::Tls13).await?),
    })
}

async fn offers(server: &Server, version: Version) -> Result<Finding, Failure> {
    let layer = server.layer(Trust::Everyone, Some(version))?;
    let mut conn = match server.connect().await {
        Ok(conn) => conn,
        Err(error) => return Ok(Finding::unknown(error)),
    };
    Ok(match server.start_tls(&mut conn, layer).await {
        Ok(_) => {
            server.leave(conn).await;
            Finding::new(State::Offered)
        }
        Err(error) if error.is_timeout() => Finding::new(State::Hangs),
        Err(error) if starttls::Error::of(&error).is_some() => Finding::unknown(questions::cause(&error)),
        Err(error) if error.is_refused() => Finding::new(State::NotOffered),
        Err(error) => Finding::new(State::NotOffered).because(questions::cause(&error)),
    })
}

async fn ask(server: &Server) -> Questions {
    let found = |finding: Result<Finding, Failure>| finding.unwrap_or_else(Finding::unknown);
    let name = server.protocol().map(|protocol| protocol.to_string());
    let words = name.as_deref().and_then(|name| words::words(name, server.domain(), &server.own_name()));
    let Some(words) = words else {
        let does_not_apply = Finding::new(State::DoesNotApply).because("TLS begins at once here");
        return Questions {
            glued_command: does_not_apply.clone(),
            glued_client_hello: does_not_apply.clone(),
            starttls_inside_tls: does_not_apply,
            close_notify: found(questions::close_notify(server, None).await),
        };
    };
    Questions {
        glued_command: found(questions::glued_command(server, &words).await),
        glued_client_hello: found(questions::glued_client_hello(server, &words).await),
        starttls_inside_tls: found(questions::starttls_inside_tls(server, &words).await),
        close_notify: found(questions::close_notify(server, Some(&words)).await),
    }
}

fn no_tls(error: &Error) -> Finding {
    use starttls::ErrorKind;
    let state = match starttls::Error::of(error).map(starttls::Error::kind) {
        Some(ErrorKind::NotOffered) => return Finding::new(State::NotOffered),
        Some(ErrorKind::Refused) => State::Refused,
        Some(ErrorKind::Preauthenticated) => return Finding::new(State::Preauthenticated),
        _ if error.is_timeout() => State::Hangs,
        _ => State::Failed,
    };
    Finding::new(state).because(questions::cause(error))
}

fn untrusted(error: &Error) -> Finding {
    let state = match error.tls_error() {
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            CertificateError::UnknownIssuer => State::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => State::WrongName,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => State::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => State::NotYetValid,
            _ => return Finding::new(State::NotAccepted).because(error),
        },
        _ => return Finding::new(State::NotAccepted).because(error),
    };
    Finding::new(state)
}

const ANSWERS: &str = r"The four questions, and their answers, in JSON under `questions`, each with `state` and `detail`:
  glued_command        dropped, refused, fed_to_tls (where the handshake fails), answered_in_clear,
                       executed (a hole: whoever sits in between can put commands into the session)
  glued_client_hello   taken, refused, lost (another one is waited for)
  starttls_inside_tls  refused, nests (a second handshake, which is no fault), agrees (and no handshake follows)
  close_notify         hangs_up, plaintext (the server goes on in clear), silent
Any of them may be hangs (no answer within --timeout), does_not_apply, unknown, or not_asked (there is no TLS).

The other fields of the JSON: endpoint, protocol, connections; `verdict` is sound, hole, untrusted, no_tls or
unknown; `tls` has state (offered, not_offered, refused, preauthenticated, hangs, failed), detail, version, cipher_suite,
key_exchange_group, alpn, and tls1_2 and tls1_3 with state and detail; `trust` has state (trusted, unknown_issuer,
wrong_name, expired, not_yet_valid, not_accepted, not_checked, not_asked), detail and the name; `certificates` is a list,
the server's own first, of subject, issuer, names, not_before, not_after, days_left and validity.

Exit status: 0 if nothing is wrong, 1 if there is no TLS, the certificate is not trusted, the server cannot be reached,
or whether there is a hole was not found out, 2 if the command line makes no sense, 3 if there is a hole.";
