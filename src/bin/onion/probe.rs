//! `onion probe`: what an operator wants to know of a server, and four questions that a good client never asks.
//!
//! | file | idea |
//! |---|---|
//! | `probe/server.rs`, `probe/farewell.rs` | how to reach the server, to start TLS with it, and to leave |
//! | `probe/look.rs`, `probe/seen.rs`, `probe/flight.rs`, `probe/everything.rs` | the first look, at TLS that we cannot take too |
//! | `probe/refusal.rs` | what is missing where there is no session |
//! | `probe/questions.rs`, `probe/later.rs`, `probe/witness.rs` | the four questions, each on a connection of its own |
//! | `probe/words.rs`, `probe/answers.rs` | what is said in each protocol, and what the answers mean |
//! | `probe/names.rs`, `probe/groups.rs` | what it shows by other names, and by which groups keys are agreed on with it |
//! | `probe/told.rs` | what is said of a look |
//! | `probe/finding.rs`, `probe/report.rs`, `probe/shown.rs`, `probe/chain.rs`, `probe/times.rs`, `probe/rows.rs` | what was found out, for programs and for people |
//!
//! Every step has a deadline, so a server that hangs is something that was found out, and no failure of the probe.

mod answers;
mod chain;
mod everything;
mod farewell;
mod finding;
mod flight;
mod groups;
mod later;
mod look;
mod names;
mod questions;
mod refusal;
mod report;
mod rows;
mod seen;
mod server;
mod shown;
mod times;
mod told;
mod witness;
mod words;

use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::Args;
use onionskin::connection::Error;
use onionskin::runtime::Runtime;

use self::finding::{Finding, State};
use self::groups::Groups;
use self::look::{Look, Outcome, Trusted};
use self::names::Named;
use self::refusal::Refusal;
use self::report::{Questions, Report, Verdict};
use self::server::Server;
use self::shown::Certificate;
use self::told::{certificate_hint, class};
use crate::credentials::IdentityFiles;
use crate::failure::{Failure, Status};
use crate::open::{self, ClientDefaults};
use crate::route::ProxyOption;

/// Look at the TLS of a server, and try what an attacker would try with its STARTTLS
///
/// Shows the versions, the certificates and whether they are trusted. Then it finds out what the server does with a command
/// sent in one segment with the request for TLS (glued to it), with a ClientHello sent in that way, with a request for TLS
/// inside TLS, and after a close_notify. It says nothing but harmless commands, and makes at most nine connections, one
/// after the other; six where nothing is wrong. Each --name takes one more, or three where something is wrong, and --groups
/// takes six to ten.
#[derive(Debug, Args)]
#[command(after_help = ANSWERS)]
pub(crate) struct Options {
    /// Which server, with TLS as its last step: tcp:mail.example:25+starttls:smtp, tcp:mail.example:993+tls
    endpoint: String,
    /// Whom to trust instead of the authorities of the system
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    /// How long the server may take for each step, and a proxy on the way, whatever its timeout= says
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    timeout: NonZeroU16,
    /// Ask for this name (SNI) too, and show what the server has for it; any number of times
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Find out by which groups keys are agreed on with the server, and which one it prefers
    #[arg(long)]
    groups: bool,
    /// Fail if a certificate that the server shows has fewer days left
    #[arg(long, value_name = "N")]
    warn_days: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    identity: IdentityFiles,
    #[command(flatten)]
    proxy: ProxyOption,
}

pub(crate) async fn run(runtime: &'static dyn Runtime, options: &Options) -> Result<(), Failure> {
    let endpoint = options.proxy.fill(open::parse(&options.endpoint)?)?;
    let defaults = ClientDefaults { trust_anchors: options.ca.as_ref(), insecure: false, identity: &options.identity };
    let complete = open::complete(&endpoint, &defaults)?;
    let server = Server::new(runtime, &complete, options.timeout)?;

    let names = options.names.iter().map(|name| server.called(name)).collect::<Result<Vec<_>, _>>()?;

    let (report, failure) = look(&server, &names, endpoint.to_string(), options).await?;
    let text = if options.json { report.json() + "\n" } else { report.to_string() };
    io::stdout().lock().write_all(text.as_bytes())?;
    failure.map_or(Ok(()), Err)
}

/// What there is to report, and what is to be failed with, if anything.
async fn look(
    server: &Server,
    names: &[Server],
    endpoint: String,
    options: &Options,
) -> Result<(Report, Option<Failure>), Failure> {
    let look = Look::at(server).await?;
    let certificates: Vec<_> = look.chain.iter().map(Certificate::of).collect();
    let trust = told::trust(server, &look.trust, &certificates);
    let mut report = Report {
        endpoint,
        protocol: server.protocol().map(|protocol| protocol.to_string()),
        verdict: Verdict::Sound,
        hint: None,
        class: None,
        retry: None,
        connections: 0,
        times: server.times().with_handshake(look.facts.as_ref()),
        tls: told::tls(&look),
        chain: chain::problems(&certificates, trust.state == State::UnknownIssuer),
        trust: report::Trust { finding: trust, name: server.name().to_owned() },
        certificates,
        questions: Questions::not_asked(),
        names: Vec::new(),
        groups: None,
    };
    if let Some(version) = look.version {
        let [tls1_2, tls1_3] = look::versions(server, version).await?;
        (report.tls.tls1_2, report.tls.tls1_3) = (tls1_2, tls1_3);
    }
    if let Outcome::Session = look.outcome {
        report.questions = ask(server).await;
    }
    if !matches!(look.outcome, Outcome::NoTls(_)) {
        for server in names {
            report.names.push(Named::at(server, &report.certificates).await?);
        }
        if options.groups {
            report.groups = Some(Groups::of(server).await?);
        }
    }
    let failure = judge(server, &mut report, look, options.warn_days);
    let failure = failure.or_else(|| judge_names(&mut report, options.warn_days));
    report.connections = server.connections();
    Ok((report, failure))
}

/// What it all comes to: the worst that was found.
fn judge(server: &Server, report: &mut Report, look: Look, warn_days: Option<u16>) -> Option<Failure> {
    let endpoint = report.endpoint.clone();
    if let Some(class) = class(&look) {
        (report.class, report.retry) = (Some(class.kind().name()), Some(class.retry().to_string()));
    }
    let (verdict, failure, hint) = match (look.outcome, look.trust) {
        (Outcome::NoTls(error), _) => {
            let hint = error.is_not_spoken().then(|| SPEAKS_FIRST.to_owned());
            (Verdict::NoTls, failed(&endpoint, &error, hint.as_deref()).with(Status::NoTls), hint)
        }
        (Outcome::Failed(error), _) => (Verdict::Failed, failed(&endpoint, &error, None), None),
        (Outcome::Refused(Refusal { wants, detail }), _) => {
            let hint = wants.hint(server.has_identity());
            let message =
                format_args!("{endpoint}: TLS is offered, and refused for want of {wants}: {detail} ({hint})");
            (Verdict::Refused, Failure::new(message).with(Status::Refused), Some(hint.to_owned()))
        }
        (Outcome::HangsUp(_), _) => {
            let hint = if server.alpn().is_empty() { WITHOUT_ALPN } else { BEHIND_THE_HANDSHAKE };
            let message = format_args!("{endpoint}: the server hangs up right behind the handshake ({hint})");
            (Verdict::Refused, Failure::new(message).with(Status::Refused), Some(hint.to_owned()))
        }
        (Outcome::Session, _) if report.questions.glued_command.state == State::Executed => {
            let message =
                format_args!("{endpoint}: a command behind the request for TLS, sent in clear, is executed inside TLS");
            let hint = "update the server, and until then let nobody use STARTTLS there".to_owned();
            (Verdict::Hole, Failure::new(message).with(Status::Hole), Some(hint))
        }
        (Outcome::Session, Trusted::No(error)) => {
            let hint = certificate_hint(&error);
            (Verdict::Untrusted, failed(&endpoint, &error, hint.as_deref()).with(Status::Untrusted), hint)
        }
        (Outcome::Session, _) if report.questions.glued_command.state == State::Unknown => {
            let glued = &report.questions.glued_command;
            let message = format_args!("{endpoint}: what becomes of a command behind the request for TLS was {glued}");
            (Verdict::Unknown, Failure::new(message), None)
        }
        (Outcome::Session, _) => {
            let days = shown::days_left(&report.certificates)?;
            let limit = warn_days.map(i64::from).filter(|&limit| days < limit)?;
            let message = format_args!("{endpoint}: a certificate has {days} days left, fewer than {limit}");
            (Verdict::Expiring, Failure::new(message).with(Status::Expiring), Some("renew it".to_owned()))
        }
    };
    (report.verdict, report.hint) = (verdict, hint);
    Some(failure)
}

/// The worst that was found by other names, where nothing is wrong with the server by its own.
fn judge_names(report: &mut Report, warn_days: Option<u16>) -> Option<Failure> {
    let faults = report.names.iter().filter_map(|named| named.fault(warn_days));
    let (verdict, status, why) =
        faults.min_by_key(|(verdict, ..)| NAMES_WORST_FIRST.iter().position(|one| one == verdict))?;
    report.verdict = verdict;
    Some(Failure::new(format_args!("{}: {why}", report.endpoint)).with(status))
}

fn failed(endpoint: &str, error: &Error, hint: Option<&str>) -> Failure {
    let cause = questions::cause(error);
    match hint {
        Some(hint) => Failure::new(format_args!("{endpoint}: {cause} ({hint})")),
        None => Failure::new(format_args!("{endpoint}: {cause}")),
    }
}

async fn ask(server: &Server) -> Questions {
    let found = |finding: Result<Finding, Failure>| finding.unwrap_or_else(Finding::unknown);
    let name = server.protocol().map(|protocol| protocol.to_string());
    let words = name.as_deref().and_then(|name| words::words(name, server.domain(), &server.own_name()));
    let Some(words) = words else {
        let does_not_apply = Finding::new(State::DoesNotApply).detail("TLS begins at once here");
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

const NAMES_WORST_FIRST: [Verdict; 4] = [Verdict::Refused, Verdict::Untrusted, Verdict::Failed, Verdict::Expiring];

const SPEAKS_FIRST: &str = "the server speaks in clear: if TLS begins later there, +starttls:PROTOCOL asks for it";
const WITHOUT_ALPN: &str = "say what is to be spoken, with alpn=NAME in the endpoint: PostgreSQL from 17 on takes nobody without alpn=postgresql";
const BEHIND_THE_HANDSHAKE: &str = "the server's own log says why";

const ANSWERS: &str = r"The four questions, and their answers, in JSON under `questions`, each with `state` and `detail`:
  glued_command        dropped, refused, fed_to_tls (where the handshake fails), answered_in_clear,
                       executed (a hole: whoever sits in between can put commands into the session)
  glued_client_hello   taken, refused, lost (another one is waited for)
  starttls_inside_tls  refused, nests (a second handshake, which is no fault), agrees (and no handshake follows),
                       replaces (a new handshake on the bare socket, in place of the TLS in which it was asked)
  close_notify         hangs_up, plaintext (the server goes on in clear), silent
Any of them may be hangs (no answer within --timeout), does_not_apply, unknown, or not_asked (there is no session).

The other fields of the JSON: endpoint, protocol, connections; `verdict` as below, and `hint`, what to do about it, or
null; `class` and `retry`, what has failed by its name (not_tls, certificate_expired, handshake_timeout and so on, as
docs/peers.md lists them) and whether to try again, or null; `tls` has state (offered, not_offered, refused,
preauthenticated, hangs, hangs_up, failed), detail, version, cipher_suite, key_exchange_group, hello_retry (whether the
server asked for the key of another group first), alpn, handshake_ms and resumed of the session, wants (what a refusal is for want of, or null: certificate, name, version,
key_exchange, cipher_suite, key_length, alpn), client_certificate (not_asked, asked, required), and tls1_2 and tls1_3
with state and detail: a version is offered once a ServerHello came in it; `trust` has state (trusted, unknown_issuer,
wrong_name, expired, not_yet_valid, not_accepted, not_checked, not_asked), detail and the name; `certificates` is a list,
the server's own first, of subject, issuer, serial, sha256, names, not_before, not_after, days_left, validity and key:
all that were shown, also by a server that refuses; `chain` has what is wrong with that list, each with kind
(out_of_order, repeated, root_shown, issuer_not_shown, and, of those behind the first, expired, not_yet_valid;
unreadable), certificate, counted from 1, and detail; `times` has resolve_ms, connect_ms, hops (for each proxy: proxy,
protocol, handshakes_ms, took_ms) and handshake_ms, each null for what there was not.

`names` has a row for each --name: name, state, detail, wants, version, alpn, certificates, as for the server itself;
chain, trust with state and detail, for that name; and same_certificate, whether its own is the one that the endpoint's name has.
`groups` is null without --groups, or has rows of group, state (offered, not_offered, hangs, unknown, does_not_apply),
detail and retry_for, the group that the server asks for in a HelloRetryRequest where a client has sent the key of this
one alone; chosen_by (server, client, unknown) and preferred, the group that the server picks whatever the order of the
client is. A server with one of these groups alone has nothing to choose.

Exit status, and verdict. Where several hold, it is the first in the order 4, 5, 3, 6, 1, 7. What is wrong by another
name counts where nothing else is; the groups have no part in it:
  0  sound      nothing is wrong
  1  failed     TLS is offered, and the handshake fails for a reason of another kind
     unknown    whether there is a hole was not found out
                (without a report: the server cannot be reached)
  2             the command line makes no sense
  3  hole       a command that was sent in clear is executed inside TLS
  4  no_tls     no TLS is offered: nothing came that looks like it
  5  refused    TLS is offered, and refused for want of something; or the server hangs up right behind the handshake
  6  untrusted  the certificate is not trusted
  7  expiring   a certificate has fewer days left than --warn-days

A server that does not say why it refuses is said hello to once more, with everything there ever was in TLS since 1.0,
and its answer is shown. Where TLS begins at once, or a certificate is asked for, the server has a tenth of --timeout to
hang up before it is taken for one that lets us in.

MySQL and MariaDB count clients that leave without having tried to log in, and bar their address after
max_connect_errors of these. So the probe tries to log in inside TLS, as the user onion-probe without a password, which
is turned away and not counted, and connects twice only. Each handshake that fails is counted all the same: that of a
version that is not offered, of a certificate that is not trusted, or for want of something.";
