//! By which groups a server agrees on keys, which of them it prefers, and what it costs to begin with another.
//!
//! A client of TLS 1.3 sends the key of a group before it knows what the server likes. A server that wants another one of the
//! client's list asks for it with a HelloRetryRequest, which costs a round trip (RFC 8446 section 4.1.4). So there are three things
//! to be asked:
//!
//! ```text
//! all groups, and the key of one ──┬─ ServerHello: it takes this one
//!                                  └─ HelloRetryRequest: it wants another ──► this group alone: does it have it at all?
//! all groups, and no key ─────────── HelloRetryRequest for the one that it picks; once in our order, once in the other
//! ```

use std::fmt::{self, Display};

use onionskin::rustls::NamedGroup;
use onionskin::starttls;
use onionskin::tls::{Group, default_provider};
use serde::Serialize;

use super::everything::Offer;
use super::finding::{Finding, State};
use super::look;
use super::questions::cause;
use super::seen::Seen;
use super::server::{Server, Trust};
use crate::failure::Failure;

/// The table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Groups {
    /// Who chooses where there are several that both have.
    chosen_by: Chooser,
    /// The group that the server picks out of all, if it is always the same.
    preferred: Option<String>,
    /// In the order in which our clients have them.
    rows: Vec<Row>,
}

/// Whose order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Chooser {
    /// It picks the same one in whichever order they are offered.
    Server,
    /// It picks the first one that the client offers.
    Client,
    Unknown,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    group: String,
    #[serde(flatten)]
    finding: Finding,
    /// The group that the server asks for in a HelloRetryRequest, where a client has sent the key of this one alone and offers all.
    retry_for: Option<String>,
}

/// What came of one handshake.
struct Tried {
    finding: Finding,
    retry_for: Option<NamedGroup>,
}

impl Groups {
    /// # Errors
    ///
    /// When the server cannot be reached any more.
    pub(super) async fn of(server: &Server) -> Result<Self, Failure> {
        let provider = default_provider()?;
        let is_known = |group: NamedGroup| provider.kx_groups.iter().any(|known| known.name() == group);
        let known: Vec<_> = ASKED_FOR.into_iter().filter(|&group| is_known(group)).collect();
        let mut rows = Vec::new();
        for group in ASKED_FOR {
            rows.push(match is_known(group) {
                true => Row::of(server, group, &known).await,
                false => Row {
                    group: name(group),
                    finding: Finding::new(State::DoesNotApply).detail("this program has no such group"),
                    retry_for: None,
                },
            });
        }
        let picks = [picked(server, ASKED_FOR).await?, picked(server, reversed()).await?];
        let offered = rows.iter().filter(|row| row.finding.state == State::Offered).count();
        let (chosen_by, preferred) = match picks {
            // Of one there is no choice.
            [Some(one), Some(other)] if one == other && offered != 1 => (Chooser::Server, Some(one)),
            [Some(_), Some(_)] if offered != 1 => (Chooser::Client, None),
            _ => (Chooser::Unknown, None),
        };
        Ok(Self { chosen_by, preferred: preferred.map(name), rows })
    }

    /// One line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let chosen = match (self.chosen_by, &self.preferred) {
            (Chooser::Server, Some(preferred)) => Some(format!("the server prefers {preferred}")),
            (Chooser::Client, _) => Some("the server takes the first one that the client offers".to_owned()),
            _ => None,
        };
        self.rows.iter().map(ToString::to_string).chain(chosen).collect()
    }
}

impl Row {
    async fn of(server: &Server, group: NamedGroup, known: &[NamedGroup]) -> Self {
        let others = known.iter().copied().filter(|&other| other != group);
        let all: Vec<_> = [group].into_iter().chain(others).collect();
        let shared = Tried::at(&server.offering(&all), group).await;
        let retry_for = shared.retry_for.filter(|&wanted| wanted != group);
        // What it does not pick of many, it may have all the same.
        let finding = match shared.finding.state {
            State::Offered => shared.finding,
            _ => Tried::at(&server.offering(&[group]), group).await.finding,
        };
        Self { group: name(group), finding, retry_for: retry_for.map(name) }
    }
}

impl Tried {
    /// A group is offered once the server has agreed to it, whatever becomes of the handshake.
    async fn at(server: &Server, group: NamedGroup) -> Self {
        let unknown = |finding| Self { finding, retry_for: None };
        let seen = Seen::default();
        let layer = match server.watched_layer(Trust::Everyone, None, &seen) {
            Ok(layer) => layer,
            // The hybrid is none for TLS 1.2.
            Err(error) => return unknown(Finding::new(State::DoesNotApply).detail(error)),
        };
        let mut conn = match server.connect().await {
            Ok(conn) => conn,
            Err(error) => return unknown(Finding::unknown(error)),
        };
        let started = server.start_watched(&mut conn, layer, &seen).await;
        let (retry_for, agreed) = {
            let sight = seen.lock();
            (sight.flight.retry_for, sight.flight.agreed_group())
        };
        let is_it = |agreed: Option<NamedGroup>| agreed == Some(group);
        let finding = match started {
            Ok(facts) => {
                server.leave(conn).await;
                match is_it(facts.key_exchange_group) {
                    true => Finding::new(State::Offered),
                    false => Finding::new(State::NotOffered),
                }
            }
            Err(error) if is_it(agreed) => Finding::new(State::Offered).detail(cause(&error)),
            Err(error) if error.is_timeout() => Finding::new(State::Hangs),
            Err(error) if starttls::Error::of(&error).is_some() => Finding::unknown(cause(&error)),
            Err(_) => Finding::new(State::NotOffered),
        };
        Self { finding, retry_for }
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.group, self.finding)?;
        match (&self.retry_for, self.finding.state) {
            (Some(wanted), State::Offered) => {
                write!(f, ", but a client that begins with it is asked for {wanted} (HelloRetryRequest)")
            }
            (Some(wanted), _) => write!(f, ", a client that begins with it is asked for {wanted} (HelloRetryRequest)"),
            (None, _) => Ok(()),
        }
    }
}

/// The group that the server picks of these, in this order, where no key of any has been sent. None where that cannot be asked:
/// a handshake that is not gone on with is held against clients of MySQL.
async fn picked(server: &Server, groups: [NamedGroup; 4]) -> Result<Option<NamedGroup>, Failure> {
    if server.counts_connections() {
        return Ok(None);
    }
    let groups = groups.map(u16::from);
    let flight = look::say_hello(server, &Offer { version: None, groups: &groups }).await?;
    Ok(flight.and_then(|flight| flight.group))
}

fn reversed() -> [NamedGroup; 4] {
    let mut groups = ASKED_FOR;
    groups.reverse();
    groups
}

/// The name, or the number in IANA's registry.
fn name(group: NamedGroup) -> String {
    Group::from(group).to_string()
}

/// In the order in which our clients have them.
const ASKED_FOR: [NamedGroup; 4] =
    [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
