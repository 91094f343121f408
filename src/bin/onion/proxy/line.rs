//! What the log says of a tunnel, or of a client that has asked for none.

use std::fmt;
use std::time::Instant;

use onionskin::Connection;
use onionskin::printable::Printable;
use onionskin::protocol::Addresses;
use onionskin::runtime::Socket;
use onionskin::tunnel::{Reason, Request};

use crate::join::End;

/// One line, which fills as the client goes on.
pub(super) struct Line {
    listen: String,
    number: u64,
    /// Which of the tunnels of the connection, where it may have many.
    tunnel: Option<u64>,
    pub(super) peer: String,
    since: Instant,
    request: Option<Request>,
    /// Who was connected to.
    reached: Option<String>,
    /// The proxies that were asked on the way, the first from here first.
    via: Vec<String>,
    /// What the client was refused with.
    pub(super) reason: Option<Reason>,
    pub(super) bytes: (u64, u64),
}

impl Line {
    pub(super) fn new(listen: String, number: u64, addresses: &Addresses, since: Instant) -> Self {
        let peer = addresses.to_string();
        Self {
            listen,
            number,
            tunnel: None,
            peer,
            since,
            request: None,
            reached: None,
            via: Vec::new(),
            reason: None,
            bytes: (0, 0),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// That of a tunnel of this connection, from now on.
    pub(super) fn tunnel(&self, tunnel: u64, since: Instant) -> Self {
        let (listen, peer) = (self.listen.clone(), self.peer.clone());
        let number = self.number;
        Self {
            listen,
            number,
            tunnel: Some(tunnel),
            peer,
            since,
            request: None,
            reached: None,
            via: Vec::new(),
            reason: None,
            bytes: (0, 0),
        }
    }

    pub(super) fn asks(&mut self, request: &Request) {
        self.request = Some(request.clone());
    }

    pub(super) fn reaches(&mut self, far: &Connection<Socket>) {
        self.reached = Some(far.get_ref().peer_address().to_string());
        self.via = far.route().iter().map(|hop| hop.proxy.to_string()).collect();
    }

    /// Logs the end, and hands it through.
    pub(super) fn ends(&self, now: Instant, end: End) -> End {
        let Self { listen, number, peer, bytes: (there, back), .. } = self;
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let (loss, request) = (end.loss.as_ref(), self.request.as_ref());
        log::info!(
            listen = listen,
            connection = number,
            tunnel = self.tunnel,
            peer = peer,
            user = request.and_then(|request| request.user.as_deref()),
            protocol = request.map(|request| request.protocol.name()),
            target = request.map(|request| request.target.to_string()),
            reached = self.reached,
            via = Some(self.via.join(", ")).filter(|via| !via.is_empty()),
            outcome = end.outcome.word(),
            side = loss.map(|loss| loss.side.word()),
            class = loss.map(|loss| loss.class.word()),
            cause = loss.map(|loss| loss.cause.as_str()),
            reason = self.reason.map(Reason::proxy_error),
            bytes_there = there,
            bytes_back = back,
            seconds;
            "{self}: {end}; {there} bytes there, {back} back, {seconds:.3} s"
        );
        end
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)?;
        if let Some(tunnel) = self.tunnel {
            write!(f, ".{tunnel}")?;
        }
        write!(f, " from {}", self.peer)?;
        let Some(request) = &self.request else { return Ok(()) };
        if let Some(user) = &request.user {
            write!(f, " user {}", Printable::new(user).limit(MAX_USER).quoted())?;
        }
        write!(f, " {} to {}", request.protocol, request.target)?;
        match (&self.reached, &self.via[..]) {
            (Some(reached), []) => write!(f, " at {reached}"),
            (_, []) => Ok(()),
            (_, via) => write!(f, " via {}", via.join(", ")),
        }
    }
}

const MAX_USER: usize = 64;
