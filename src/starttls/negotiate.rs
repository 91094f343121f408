//! The layer that negotiates, and then becomes TLS.

use std::fmt;
use std::time::Duration;

use super::exchange::{Allowance, Missing};
use super::{Error, ErrorKind, Exchange, Greets, Negotiation, Progress, StartTls};
use crate::stack::{Ends, Facts, Failure, Layer, LayerId, Opens, Order, Overdue, Patience, PeerAnswer, Report, Way};
use crate::tls::{Role, TlsFacts, TlsLayer};

/// Says what an application protocol says before TLS, and becomes the TLS layer behind the go-ahead.
///
/// Until then nothing is given to whoever is above, and what they write waits. The layer keeps its id when it becomes TLS,
/// and [`Event::Ready`](crate::stack::Event::Ready) is that of the handshake. Closing before anything was written ends
/// it: nothing that the peer has said in clear is shown.
///
/// # Errors
///
/// The connection is lost with an [`Error`], which is the source of the layer's error.
#[derive(Debug)]
pub struct Negotiate {
    protocol: &'static str,
    role: Role,
    negotiation: Box<dyn Negotiation>,
    then: Then,
    opportunistic: bool,
    /// Whether anything was said yet: what comes before that is no answer.
    has_spoken: bool,
    /// What it waits for, as long as it does.
    missing: Missing,
    glued: Vec<u8>,
    allowance: Allowance,
    /// How many more refusals there are.
    refusals: usize,
    timeout: Option<Duration>,
}

/// What comes of it.
#[derive(Debug)]
enum Then {
    /// TLS, behind the go-ahead.
    Tls(Box<TlsLayer>),
    /// The layer leaves at the go-ahead.
    Leave,
    /// The layer leaves when the greeting has been taken.
    LeaveGreeted,
    /// There is no greeting to take.
    LeaveUngreeted,
    /// The layer has reported what becomes of it.
    Nothing,
    /// Our side was closed before it came to TLS: nobody reads any more, least of all what was said in clear.
    Closed,
}

impl Negotiate {
    /// Starts `tls` as `protocol` does it, on the side that `tls` is on: a TLS client asks, a TLS server is asked.
    pub fn new(protocol: impl StartTls, tls: TlsLayer) -> Self {
        Self::with(&protocol, tls.role(), Then::Tls(Box::new(tls)))
    }

    /// Asks as a client and starts no TLS: behind the go-ahead the layer leaves the list, and what the server sends next
    /// is read in clear. For programs that examine servers.
    pub fn without_tls(protocol: impl StartTls) -> Self {
        Self::with(&protocol, Role::Client, Then::Leave)
    }

    /// Takes the greeting of a server, if it has one, and leaves the list: for those who have greeted on its behalf.
    pub fn greeting(protocol: impl StartTls) -> Self {
        let then = match protocol.greets() {
            Greets::Never => Then::LeaveUngreeted,
            Greets::Once | Greets::Again => Then::LeaveGreeted,
        };
        Self::with(&protocol, Role::Client, then)
    }

    fn with(protocol: &dyn StartTls, role: Role, then: Then) -> Self {
        let negotiation = match role {
            Role::Client => protocol.client(),
            Role::Server => protocol.server(),
        };
        Self {
            protocol: protocol.name(),
            role,
            negotiation,
            then,
            opportunistic: false,
            has_spoken: false,
            missing: Missing::default(),
            glued: Vec::new(),
            allowance: Allowance { limit: LIMIT, used: 0 },
            refusals: REFUSALS,
            timeout: Some(TIMEOUT),
        }
    }

    /// Lets the connection go on in clear if there is no TLS to be had ([`Error::is_stripped`]), or the client goes on
    /// without: the layer fails and is peeled ([`Event::Failed`](crate::stack::Event::Failed)), and what was written
    /// for TLS is dropped. Whoever sits in between can bring that about.
    #[must_use]
    pub fn opportunistic(mut self) -> Self {
        self.opportunistic = true;
        self
    }

    /// Bytes to send right behind the request for TLS, in one write with it, before the go-ahead. A client that means it
    /// well never does that; it shows what a server makes of it.
    #[must_use]
    pub fn glued(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.glued = bytes.into();
        self
    }

    /// How long the peer may take for the negotiation, up to the go-ahead; `None` for ever. Thirty seconds unless set. The
    /// time in which our own words have not yet left the stack does not count. The handshake has a deadline of its own,
    /// from the go-ahead on.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes the peer may say before TLS, all in all; 64 KiB unless set.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.allowance.limit = bytes;
        self
    }

    /// How many commands of the peer are refused before it is turned away
    /// ([`TurnedAway`](ErrorKind::TurnedAway)), in words of the protocol if that has any; twenty unless set.
    #[must_use]
    pub fn refusals(mut self, most: usize) -> Self {
        self.refusals = most;
        self
    }

    /// Does what can be done with what is there.
    fn negotiate(&mut self, ends: &mut Ends<'_>) -> Result<(), Error> {
        loop {
            if !has_room(ends) {
                return Ok(());
            }
            if self.begins_tls(ends) {
                return self.take_direct_tls(ends);
            }
            if self.missing.is_still(ends.inbound_below().front()) {
                return self.check_end(ends);
            }
            let mut exchange = Exchange::new(ends, self.allowance, self.opportunistic);
            let progress = self.negotiation.advance(&mut exchange);
            let (taken, has_sent, has_refused) = (exchange.taken(), exchange.has_sent(), exchange.has_refused());
            let missing = exchange.missing();
            self.has_spoken |= has_sent;
            if progress.as_ref().map_or_else(|error| self.has_spoken && error.is_stripped(), |_| true) {
                ends.inbound_below().consume(taken);
                self.allowance.used += taken;
            }
            let progress = progress?;
            if has_refused {
                self.count_refusal(ends)?;
            }
            self.missing = Missing::default();
            match progress {
                Progress::Waiting => {
                    self.missing = missing.behind(taken);
                    return self.check_end(ends);
                }
                Progress::Asked => ends.outbound_below().push(&std::mem::take(&mut self.glued)),
                Progress::Greeted if matches!(self.then, Then::LeaveGreeted) => {
                    self.finish(ends);
                    return Ok(());
                }
                Progress::Going | Progress::Greeted => {}
                Progress::GoAhead => {
                    self.finish(ends);
                    return Ok(());
                }
            }
        }
    }

    /// Real servers have a limit too: whoever goes on after so many refusals is no client that will ask for TLS.
    fn count_refusal(&mut self, ends: &mut Ends<'_>) -> Result<(), Error> {
        self.refusals = self.refusals.saturating_sub(1);
        if self.refusals > 0 {
            return Ok(());
        }
        self.negotiation.turn_away(&mut Exchange::new(ends, self.allowance, self.opportunistic));
        Err(Error::turned_away())
    }

    fn finish(&mut self, ends: &mut Ends<'_>) {
        match std::mem::replace(&mut self.then, Then::Nothing) {
            Then::Tls(tls) => {
                if let Some(layer) = self.negotiation.layer_below_tls() {
                    ends.report(Report::Insert(layer));
                }
                ends.report(Report::Become(tls));
            }
            Then::Leave | Then::LeaveGreeted | Then::LeaveUngreeted => {
                ends.report(Report::Stopped(PeerAnswer::NotNeeded));
            }
            Then::Nothing | Then::Closed => {}
        }
    }

    /// No protocol here begins with what a ClientHello begins with (RFC 8446 section 5.1), and one that reads lines would
    /// wait for the end of this one.
    fn begins_tls(&self, ends: &mut Ends<'_>) -> bool {
        self.role == Role::Server && ends.inbound_below().front().starts_with(&HANDSHAKE_RECORD)
    }

    fn take_direct_tls(&mut self, ends: &mut Ends<'_>) -> Result<(), Error> {
        let Some(protocol) = self.negotiation.direct_tls() else {
            let message = "the client begins TLS without asking for it";
            return Err(Error::new(ErrorKind::Malformed, message));
        };
        if let Then::Tls(tls) = &mut self.then {
            tls.require_alpn(protocol).map_err(|error| Error::new(ErrorKind::Malformed, error.to_string()))?;
        }
        self.finish(ends);
        Ok(())
    }

    fn check_end(&self, ends: &mut Ends<'_>) -> Result<(), Error> {
        if ends.inbound_below().next_mark().is_none() {
            return Ok(());
        }
        let message = format!("the connection ended before {}", self.negotiation.awaits());
        Err(Error::new(ErrorKind::Closed, message))
    }

    fn failure(&mut self, error: Error) -> Failure {
        let peel = error.leaves_plaintext(self.opportunistic);
        let error = error.of_layer(self.protocol);
        if peel { Failure::peel(error) } else { Failure::lose(error) }
    }
}

/// Those of the TLS that it becomes.
impl Opens for Negotiate {
    type Facts = TlsFacts;
}

impl Layer for Negotiate {
    fn name(&self) -> &'static str {
        "starttls"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "starttls {} {}", self.protocol, self.role)
    }

    fn details(&self) -> Vec<String> {
        vec![format!("{} {}", self.protocol, self.role), format!("awaits {}", self.negotiation.awaits())]
    }

    fn opened(&self, _layer: LayerId) -> Option<Facts> {
        None
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        match self.then {
            Then::Nothing => return Ok(()),
            Then::Closed => {
                drop_inbound(ends);
                return Ok(());
            }
            Then::LeaveUngreeted => {
                self.finish(ends);
                return Ok(());
            }
            _ => {}
        }
        self.negotiate(ends).map_err(|error| self.failure(error))
    }

    /// Holds what is written. Only an order to close with nothing but other orders before it is passed on.
    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if let Then::Closed = self.then {
            ends.pass_outbound();
            return Ok(());
        }
        let held = ends.outbound_above();
        let (written, is_closed) =
            (held.len(), held.marks().any(|order| matches!(order, Order::Close | Order::CloseWire)));
        if is_closed && written == 0 {
            self.then = Then::Closed;
            ends.report(Report::Waits);
        }
        if let Then::Closed = self.then {
            ends.pass_outbound();
        }
        Ok(())
    }

    fn awaits(&self) -> Option<Patience> {
        match self.then {
            Then::Nothing | Then::Closed => None,
            Then::Tls(_) | Then::Leave | Then::LeaveGreeted | Then::LeaveUngreeted => {
                self.timeout.map(|limit| Patience::new("the go-ahead", limit))
            }
        }
    }

    fn overdue(&mut self, overdue: Overdue, _ends: &mut Ends<'_>) -> Result<(), Failure> {
        let message = match overdue {
            Overdue::Reading => "the peer takes nothing of what is said to it".to_owned(),
            _ => format!("no answer in time: the peer owes {}", self.negotiation.awaits()),
        };
        Err(self.failure(Error::new(ErrorKind::TimedOut, message)))
    }
}

/// Whether what was said so far has left, but for a little: a peer that does not read is not answered on and on, and what
/// it says waits below, where there is a limit. Whoever asks for room is called when there is some.
fn has_room(ends: &mut Ends<'_>) -> bool {
    let output = ends.outbound_below();
    let _ = output.room();
    output.len() <= MAX_UNSENT
}

/// Lets ends through and no bytes.
fn drop_inbound(ends: &mut Ends<'_>) {
    let Way { from, to } = ends.all().inbound;
    loop {
        from.consume(from.front().len());
        match from.take_mark() {
            Some(mark) => to.push_mark(mark),
            None => return,
        }
    }
}

/// Much more than any server says before TLS.
const LIMIT: usize = 64 * 1024;

/// As many wrong commands as Postfix and Dovecot hear before they hang up.
const REFUSALS: usize = 20;

/// More than any server says at once before TLS.
const MAX_UNSENT: usize = 4096;

/// Time enough for servers that let strangers wait before they greet.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The type of the record and the major version.
const HANDSHAKE_RECORD: [u8; 2] = [22, 3];
