//! The side that was connected to.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::parse::{BLOCK_HEADER, Front, announced_len, not_spoken};
use super::{HeaderVersion, ProxyHeader};
use crate::stack::{
    End, Ends, Facts, Failure, Layer, LayerError, LayerErrorKind, LayerId, Opens, Overdue, Patience, PeerAnswer, Report,
};

/// Takes the header from the front of what the peer sends, and is gone.
///
/// Until the header is there, nothing is given to whoever is above; what they write passes. With the header the layer
/// reports [`Ready`](crate::stack::Event::Ready) and leaves the list at once, and what stands behind the header is
/// untouched. [`received`](Self::received) has the header, before that and after.
///
/// Accept it only from a proxy that you know: see the [module](super).
///
/// # Errors
///
/// The connection is lost when the peer sends something else ([`NotSpoken`](LayerErrorKind::NotSpoken)), a malformed
/// header ([`Protocol`](LayerErrorKind::Protocol)), one that is too long ([`Limit`](LayerErrorKind::Limit)), or only a
/// part of one: before the end of the stream ([`Truncated`](LayerErrorKind::Truncated)) or before the deadline
/// ([`HandshakeTimeout`](LayerErrorKind::HandshakeTimeout)).
#[derive(Debug)]
pub struct AcceptProxyHeader {
    received: Received,
    only: Option<HeaderVersion>,
    optional: bool,
    limit: usize,
    timeout: Option<Duration>,
}

impl AcceptProxyHeader {
    /// Requires a header of either version, of at most 4,096 bytes, within ten seconds.
    #[must_use]
    pub fn new() -> Self {
        Self { received: Received::default(), only: None, optional: false, limit: LIMIT, timeout: Some(TIMEOUT) }
    }

    /// Accepts one version only. The other is then no header at all.
    #[must_use]
    pub fn only(mut self, version: HeaderVersion) -> Self {
        self.only = Some(version);
        self
    }

    /// Also accepts a stream without a header: its bytes pass untouched from the first one on.
    ///
    /// The specification warns of it (section 2): whoever connects then chooses whether he is believed. It is for
    /// moving a port over, and for protocols in which the peer speaks first; one that keeps silent runs into the
    /// deadline.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The longest header of version 2, all in all. It is refused when it announces its length, before it is waited
    /// for. One of version 1 is at most 107 bytes. What is set above the limit of the stack's buffers has no effect.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// How long the header may take; `None` for ever. Ten seconds unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where the header will be found.
    #[must_use]
    pub fn received(&self) -> Received {
        self.received.clone()
    }

    /// The header, if the input decides: `Some(None)` is a stream without one.
    fn decide(&self, ends: &mut Ends<'_>) -> Result<Option<Option<ProxyHeader>>, LayerError> {
        let input = ends.inbound_below();
        let front = input.front();
        let ended = input.next_mark().copied();
        let lost = matches!(ended, Some(End::Truncated | End::Lost));
        match Front::of(front) {
            Front::NoHeader => return self.without(front),
            Front::Header(version) if self.only.is_some_and(|only| only != version) => return self.without(front),
            Front::Undecided if ended.is_some() && !lost && self.optional => return Ok(Some(None)),
            Front::Undecided | Front::Header(HeaderVersion::V1) => {}
            Front::Header(HeaderVersion::V2) => self.check_len(front, input.room())?,
        }
        if let Some((header, len)) = ProxyHeader::parse(front)? {
            input.consume(len);
            return Ok(Some(Some(header)));
        }
        if ended.is_some() {
            let message = "the stream below ended before the PROXY header was complete";
            return Err(LayerError::new(LayerErrorKind::Truncated, message));
        }
        Ok(None)
    }

    fn without(&self, front: &[u8]) -> Result<Option<Option<ProxyHeader>>, LayerError> {
        if self.optional { Ok(Some(None)) } else { Err(not_spoken(front)) }
    }

    fn check_len(&self, front: &[u8], room: usize) -> Result<(), LayerError> {
        let Some(len) = announced_len(front) else { return Ok(()) };
        // The first 16 bytes are always taken, and what has no room would never come.
        let most = self.limit.max(BLOCK_HEADER).min(front.len() + room);
        if len > most {
            let message = format!("the PROXY header has {len} bytes, and at most {most} are accepted");
            return Err(LayerError::new(LayerErrorKind::Limit, message));
        }
        Ok(())
    }
}

impl Default for AcceptProxyHeader {
    fn default() -> Self {
        Self::new()
    }
}

/// The header, or `None` for a stream that has none.
impl Opens for AcceptProxyHeader {
    type Facts = Option<ProxyHeader>;
}

impl Layer for AcceptProxyHeader {
    fn name(&self) -> &'static str {
        "proxy-header"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("proxy header awaited")
    }

    fn opened(&self, _layer: LayerId) -> Option<Facts> {
        self.received.0.get().map(|header| Facts::of::<Self>(header.clone()))
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        if self.received.is_decided() {
            return Ok(());
        }
        if let Some(header) = self.decide(ends)? {
            // It is empty: this is the only place that fills it, and it was asked above.
            let _ = self.received.0.set(header);
            ends.report(Report::Ready);
            ends.report(Report::Stopped(PeerAnswer::NotNeeded));
        }
        Ok(())
    }

    fn awaits(&self) -> Option<Patience> {
        self.timeout.map(|limit| Patience::new("the PROXY header", limit))
    }

    fn overdue(&mut self, _overdue: Overdue, _ends: &mut Ends<'_>) -> Result<(), Failure> {
        let message = "no PROXY header was received within its deadline";
        Err(LayerError::new(LayerErrorKind::HandshakeTimeout, message).into())
    }
}

/// What an [`AcceptProxyHeader`] has received. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Received(Arc<OnceLock<Option<ProxyHeader>>>);

impl Received {
    /// The header, once it has come.
    #[must_use]
    pub fn header(&self) -> Option<&ProxyHeader> {
        self.0.get()?.as_ref()
    }

    /// Whether the header has come, or it is clear that none comes and that was allowed.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.0.get().is_some()
    }
}

const LIMIT: usize = 4096;

/// As long as a handshake may take.
const TIMEOUT: Duration = Duration::from_secs(10);
