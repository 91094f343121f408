//! The first look at a server: a handshake that verifies, and whatever else it takes to say what is there.
//!
//! ```text
//! verify ─┬─ done ───────── does it let us stay? ──┬─ yes: TLS
//!         │                                        └─ no: refused
//!         ├─ certificate not accepted ── the same again, trusting everybody
//!         └─ failed ── does that say why? ──┬─ yes: refused
//!                                           └─ no: say hello with everything there is, and look at the answer
//! ```

use std::cell::RefCell;

use onionskin::Connection;
use onionskin::connection::Error;
use onionskin::runtime::Socket;
use onionskin::rustls::pki_types::CertificateDer;
use onionskin::rustls::{self, AlertDescription, ProtocolVersion};
use onionskin::starttls::{self, Negotiate};
use onionskin::tls::{CertificateFacts, TlsFacts, Version};

use super::everything::{Offer, client_hello};
use super::finding::{Finding, State};
use super::flight::Flight;
use super::questions::cause;
use super::refusal::{Refusal, Wants, version_name};
use super::seen::{Seen, Sight};
use super::server::{Server, Trust};
use crate::failure::Failure;

/// What was found out about the handshake.
#[derive(Debug)]
pub(super) struct Look {
    /// If there was one.
    pub(super) facts: Option<TlsFacts>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) trust: Trusted,
    pub(super) asks_for_certificate: bool,
    /// In what the server's first words came, if there were any.
    pub(super) version: Option<ProtocolVersion>,
    /// Whether the server has asked for the key of another group first, which costs a round trip.
    pub(super) is_retried: bool,
    pub(super) outcome: Outcome,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There is a session.
    Session,
    /// There is TLS, and something is missing.
    Refused(Refusal),
    /// The server hangs up right behind the handshake, with an error or without.
    HangsUp(Option<Error>),
    /// There is TLS, and no handshake.
    Failed(Error),
    /// There is no sign of TLS.
    NoTls(Error),
}

/// Whether the certificate is accepted.
#[derive(Debug)]
pub(super) enum Trusted {
    Yes,
    No(Error),
    /// It did not come to that.
    NotAsked,
}

impl Look {
    /// # Errors
    ///
    /// When the server cannot be reached. Whatever it does is no error.
    pub(super) async fn at(server: &Server) -> Result<Self, Failure> {
        let seen = Seen::default();
        match shake_hands(server, Trust::AsConfigured, &seen).await? {
            Shaken::Done(session) => Ok(Self::inside(server, *session, &seen, Trusted::Yes).await),
            Shaken::Failed(error) if error.is_certificate() => Self::at_stranger(server, error).await,
            Shaken::Failed(error) => {
                let trusted = seen.lock().flight.has_said_all() && seen.lock().asks_for_certificate();
                let trust = if trusted { Trusted::Yes } else { Trusted::NotAsked };
                Self::outside(server, error, &seen, trust).await
            }
        }
    }

    /// Once more, for a server whose certificate was not accepted.
    async fn at_stranger(server: &Server, why: Error) -> Result<Self, Failure> {
        let seen = Seen::default();
        match shake_hands(server, Trust::Everyone, &seen).await? {
            Shaken::Done(session) => Ok(Self::inside(server, *session, &seen, Trusted::No(why)).await),
            Shaken::Failed(error) => Self::outside(server, error, &seen, Trusted::No(why)).await,
        }
    }

    /// The handshake is done.
    async fn inside(server: &Server, session: Session, seen: &Seen, trust: Trusted) -> Self {
        let Session { mut conn, facts, lost } = session;
        let asks = seen.lock().asks_for_certificate();
        let ended = match lost {
            Some(error) => Some(Some(error)),
            None if server.protocol().is_none() || asks => ended(server, &mut conn).await,
            None => None,
        };
        server.leave(conn).await;
        let sight = seen.lock();
        let own = facts.peer_certificates.first().and_then(CertificateFacts::read);
        let short = own.as_ref().filter(|_| matches!(trust, Trusted::No(_))).and_then(Refusal::by_key);
        let outcome = match (short, ended) {
            (Some(refusal), _) => Outcome::Refused(refusal),
            (None, None) => Outcome::Session,
            (None, Some(Some(error))) => match Refusal::of(&error, &sight) {
                Some(refusal) => Outcome::Refused(refusal),
                None => Outcome::HangsUp(Some(error)),
            },
            (None, Some(None)) if asks => Outcome::Refused(Refusal::without_certificate()),
            (None, Some(None)) => Outcome::HangsUp(None),
        };
        Self {
            chain: facts.peer_certificates.clone(),
            version: facts.version.map(number),
            facts: Some(facts),
            trust,
            asks_for_certificate: asks,
            is_retried: sight.flight.is_retried(),
            outcome,
        }
    }

    /// The handshake has failed.
    async fn outside(server: &Server, error: Error, seen: &Seen, trust: Trusted) -> Result<Self, Failure> {
        let negotiated = starttls::Error::of(&error).is_none();
        let (mut look, is_tls) = {
            let sight = seen.lock();
            let is_tls = sight.flight.is_tls();
            let is_dumb = negotiated && !is_tls && error.is_truncated();
            let refusal = Refusal::of(&error, &sight);
            let look = Self {
                facts: None,
                chain: sight.chain().to_vec(),
                trust,
                asks_for_certificate: sight.asks_for_certificate(),
                version: sight.flight.version(),
                is_retried: sight.flight.is_retried(),
                outcome: outcome(refusal, error, &sight),
            };
            if look.version.is_some() || !(is_tls || is_dumb) || look.outcome.is_plain() {
                return Ok(look);
            }
            (look, is_tls)
        };
        let Some(flight) = say_hello(server, &Offer::EVERYTHING).await? else { return Ok(look) };
        look.chain.clone_from(&flight.chain);
        look.version = flight.version();
        look.asks_for_certificate |= flight.asks_for_certificate;
        // That it does TLS with those who take everything is what counts: it will not do it with us.
        match (Refusal::by_everything(&flight), look.outcome) {
            (Some(refusal), _) => look.outcome = Outcome::Refused(refusal),
            (None, Outcome::NoTls(error)) if !is_tls && flight.is_tls() => look.outcome = Outcome::Failed(error),
            (None, outcome) => look.outcome = outcome,
        }
        Ok(look)
    }
}

impl Outcome {
    /// Whether the server has said what it wants, and nothing is to be found out by asking in another way.
    fn is_plain(&self) -> bool {
        matches!(self, Self::Refused(Refusal { wants: Wants::Certificate | Wants::Name | Wants::Alpn, .. }))
    }
}

/// A handshake that is done, and what the connection was lost with since, if it was: the server's last words of it and its
/// refusal may come at once.
struct Session {
    conn: Connection<Socket>,
    facts: TlsFacts,
    lost: Option<Error>,
}

enum Shaken {
    Done(Box<Session>),
    Failed(Error),
}

async fn shake_hands(server: &Server, trust: Trust, seen: &Seen) -> Result<Shaken, Failure> {
    let mut conn = server.connect().await?;
    let below = conn.layers().tls().count();
    let error = match server.start_watched(&mut conn, server.watched_layer(trust, None, seen)?, seen).await {
        Ok(facts) => return Ok(Shaken::Done(Box::new(Session { conn, facts, lost: None }))),
        Err(error) => error,
    };
    // What a handshake has agreed on is known once it is done, and stays known.
    let facts = conn.layers().tls().nth(below).filter(|facts| facts.version.is_some()).cloned();
    Ok(match facts {
        Some(facts) => {
            // One that said something first has let us in.
            let lost = (facts.traffic.bytes_in == 0).then_some(error);
            Shaken::Done(Box::new(Session { conn, facts, lost }))
        }
        None => Shaken::Failed(error),
    })
}

fn outcome(refusal: Option<Refusal>, error: Error, sight: &Sight) -> Outcome {
    match refusal {
        Some(refusal) => Outcome::Refused(refusal),
        None if sight.flight.is_tls() || sight.is_agreed => Outcome::Failed(error),
        None => Outcome::NoTls(error),
    }
}

/// Whether the server ends the session by itself, and with which error: a refusal of TLS 1.3 comes only when the client is
/// done already (RFC 8446 section 4.4.2.4), and PostgreSQL hangs up on clients that do not say what they want.
async fn ended(server: &Server, conn: &mut Connection<Socket>) -> Option<Option<Error>> {
    use futures::AsyncReadExt;

    match server.within_time(server.timeout() / 10, conn.read(&mut [0; 1])).await? {
        Ok(1..) => None,
        Ok(0) => Some(None),
        Err(error) => Some(Error::of(&error).cloned()),
    }
}

/// What the server answers to this offer; `None` if it cannot be asked in that way.
pub(super) async fn say_hello(server: &Server, offer: &Offer<'_>) -> Result<Option<Flight>, Failure> {
    if server.newest() == Version::Tls12 {
        return Ok(None);
    }
    let hello = client_hello(server.name(), server.alpn(), offer)?;
    let mut conn = server.connect().await?;
    if let Some(peer) = server.peer() {
        let negotiating = conn.splice(server.bounded(Negotiate::without_tls(&*peer)))?;
        if conn.ready(negotiating).await.is_err() {
            return Ok(None);
        }
    }
    let flight = RefCell::new(Flight::default());
    let mut heard = Vec::new();
    let read = |heard: &[u8]| {
        let mut flight = flight.borrow_mut();
        let new = heard.get(flight.heard()..).unwrap_or_default();
        flight.push(new);
        flight.is_the_clients_turn().then_some(())
    };
    // However it ends: what was heard counts.
    let _ = server.ask(&mut conn, &hello, &mut heard, read).await;
    Ok(Some(flight.into_inner()))
}

/// Whether the server has TLS 1.2 and 1.3: one of them was seen, the other one has to be asked for.
pub(super) async fn versions(server: &Server, seen: ProtocolVersion) -> Result<[Finding; 2], Failure> {
    let offered = Finding::new(State::Offered);
    Ok(match seen {
        ProtocolVersion::TLSv1_3 => [offers(server, Version::Tls12).await?, offered],
        ProtocolVersion::TLSv1_2 if server.newest() == Version::Tls12 => {
            [offered, Finding::new(State::DoesNotApply).detail("the protocol has no more than TLS 1.2")]
        }
        ProtocolVersion::TLSv1_2 => [offered, offers(server, Version::Tls13).await?],
        old => {
            let not = Finding::new(State::NotOffered).detail(format_args!("no more than {}", version_name(old)));
            [not.clone(), not]
        }
    })
}

/// A version is offered once a ServerHello came in it, whatever becomes of the handshake.
async fn offers(server: &Server, version: Version) -> Result<Finding, Failure> {
    let seen = Seen::default();
    let layer = server.watched_layer(Trust::Everyone, Some(version), &seen)?;
    let mut conn = match server.connect().await {
        Ok(conn) => conn,
        Err(error) => return Ok(Finding::unknown(error)),
    };
    let Err(error) = server.start_watched(&mut conn, layer, &seen).await else {
        server.leave(conn).await;
        return Ok(Finding::new(State::Offered));
    };
    drop(conn);
    if seen.lock().flight.version() == Some(number(version)) {
        let asked = seen.lock().asks_for_certificate();
        let why = if asked { "a client certificate is asked for".to_owned() } else { cause(&error) };
        return Ok(Finding::new(State::Offered).detail(why));
    }
    if error.is_timeout() {
        return Ok(Finding::new(State::Hangs));
    }
    if starttls::Error::of(&error).is_some() {
        return Ok(Finding::unknown(cause(&error)));
    }
    // Said of a version that is not there, and of one in which there is nothing in common.
    let nothing_in_common = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
    if error.tls_error() == Some(&nothing_in_common)
        && !server.counts_connections()
        && let Some(flight) = say_hello(server, &Offer { version: Some(version), ..Offer::EVERYTHING }).await?
        && flight.version() == Some(number(version))
    {
        let why = Refusal::by_everything(&flight).map_or_else(|| cause(&error), |refusal| refusal.detail);
        return Ok(Finding::new(State::Offered).detail(why));
    }
    let not_offered = Finding::new(State::NotOffered);
    Ok(if error.is_refused() { not_offered } else { not_offered.detail(cause(&error)) })
}

fn number(version: Version) -> ProtocolVersion {
    match version {
        Version::Tls12 => ProtocolVersion::TLSv1_2,
        _ => ProtocolVersion::TLSv1_3,
    }
}
