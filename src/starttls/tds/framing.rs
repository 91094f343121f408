//! The layer below TLS that carries its handshake inside of TDS packets.
//!
//! ```text
//!   ────────────────────────────────────── TLS ──────────────────────────────────────
//!   ClientHello      …     ChangeCipherSpec  Finished │ data   data
//!   ──────────────────────────── this layer ──────────│──────────────────────────────
//!   [12│ClientHello] … [12│ChangeCipherSpec  Finished]│ data   data     bare records
//! ```
//!
//! Each direction stops to be wrapped behind its own Finished, which is when that side can say something else, and the two
//! come to that at different times. Finished is encrypted, but its place is not: it is the record of the handshake that
//! follows ChangeCipherSpec. So the headers of the records are all that has to be read. TLS 1.3 has no Finished at such a
//! place: there a record of data follows, which is an error here.
//!
//! A packet need not begin or end where a record does. Only the last one has to, because what stands behind Finished in a
//! packet would be neither inside nor outside.
//!
//! The layer keeps no bytes but the header of a record that has come in part. It leaves the list when both directions are
//! bare.

use std::fmt;

use super::packet::{DEFAULT_SIZE, FIRST, HEADER, Header, PRELOGIN};
use crate::stack::{End, Ends, Failure, Layer, LayerError, LayerErrorKind, PeerAnswer, Report, Way};

/// Wraps what TLS says, and unwraps what it hears, until the handshake is over.
#[derive(Debug)]
pub(super) struct HandshakeFraming {
    outbound: Outbound,
    inbound: Inbound,
}

#[derive(Debug)]
enum Outbound {
    Wrapped { records: Records, number: u8 },
    Bare,
}

#[derive(Debug)]
enum Inbound {
    Wrapped {
        records: Records,
        /// How much of the packet is still to come; none between packets.
        rest: usize,
    },
    Bare,
}

impl HandshakeFraming {
    pub(super) fn new() -> Self {
        Self {
            outbound: Outbound::Wrapped { records: Records::new(), number: FIRST },
            inbound: Inbound::Wrapped { records: Records::new(), rest: 0 },
        }
    }

    fn wrap(&mut self, ends: &mut Ends<'_>) -> Result<(), LayerError> {
        let Way { from, to } = ends.all().outbound;
        while let Outbound::Wrapped { records, number } = &mut self.outbound {
            let room = if to.is_empty() { DEFAULT_SIZE } else { to.room().min(DEFAULT_SIZE) };
            let payload = &from.front()[..from.front().len().min(room.saturating_sub(HEADER))];
            if payload.is_empty() {
                match from.take_mark() {
                    Some(mark) => to.push_mark(mark),
                    None => return Ok(()),
                }
                continue;
            }
            let count = records.follow(payload)?;
            // What TLS has to say at once is there at once.
            let last = count == from.front().len() || records.are_over();
            let header = Header { kind: PRELOGIN, last, payload_len: count };
            to.push(&header.write(*number));
            to.push(&payload[..count]);
            *number = number.wrapping_add(1);
            if records.are_over() {
                self.outbound = Outbound::Bare;
            }
            from.consume(count);
        }
        to.take_from(from);
        Ok(())
    }

    fn unwrap(&mut self, ends: &mut Ends<'_>) -> Result<(), LayerError> {
        let Way { from, to } = ends.all().inbound;
        while let Inbound::Wrapped { records, rest } = &mut self.inbound {
            if *rest == 0
                && let Some(header) = read_header(from.front())?
            {
                *rest = header.payload_len;
                from.consume(HEADER);
            }
            let count = (*rest).min(from.front().len());
            if count == 0 {
                // Behind a mark nothing more comes: the packet, or its header, stays as it is.
                match from.next_mark() {
                    None => return Ok(()),
                    Some(End::Lost) => from.consume(from.front().len()),
                    Some(_) if *rest > 0 || !from.front().is_empty() => return Err(cut_short()),
                    Some(_) => {}
                }
                if let Some(mark) = from.take_mark() {
                    to.push_mark(mark);
                }
                continue;
            }
            let count = count.min(to.room());
            if count == 0 {
                return Ok(());
            }
            let handshake = records.follow(&from.front()[..count])?;
            to.push(&from.front()[..handshake]);
            from.consume(handshake);
            *rest -= handshake;
            if records.are_over() {
                if *rest > 0 {
                    let message = "a TDS packet goes on behind the end of the handshake that it carries";
                    return Err(LayerError::new(LayerErrorKind::Protocol, message));
                }
                self.inbound = Inbound::Bare;
            }
        }
        to.take_from(from);
        Ok(())
    }

    /// Called from both directions: whichever is the later one.
    fn leave_if_over(&self, ends: &mut Ends<'_>) {
        if let (Outbound::Bare, Inbound::Bare) = (&self.outbound, &self.inbound) {
            ends.report(Report::Stopped(PeerAnswer::NotNeeded));
        }
    }
}

impl Layer for HandshakeFraming {
    fn name(&self) -> &'static str {
        "tds"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tds handshake")
    }

    fn details(&self) -> Vec<String> {
        let outbound = if let Outbound::Bare = self.outbound { "bare" } else { "wrapped" };
        let inbound = if let Inbound::Bare = self.inbound { "bare" } else { "wrapped" };
        vec![format!("{inbound} in"), format!("{outbound} out")]
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.unwrap(ends)?;
        self.leave_if_over(ends);
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.wrap(ends)?;
        self.leave_if_over(ends);
        Ok(())
    }
}

/// The header of a packet at the front of `input`; none if more of it is needed.
fn read_header(input: &[u8]) -> Result<Option<Header>, LayerError> {
    if input.first().is_some_and(|&kind| kind != PRELOGIN) {
        let message = format!("where the TLS handshake was to be, a TDS packet of type {:#04x} begins", input[0]);
        return Err(LayerError::new(LayerErrorKind::NotSpoken, message));
    }
    let Some(bytes) = input.first_chunk() else { return Ok(None) };
    let header = Header::parse(bytes).filter(|header| header.payload_len > 0).ok_or_else(|| {
        let message = "a TDS packet is empty where it was to carry the TLS handshake";
        LayerError::new(LayerErrorKind::Protocol, message)
    })?;
    if header.payload_len > MAX_PAYLOAD {
        let message = format!("a TDS packet has {} bytes, and {MAX_PAYLOAD} are accepted", header.payload_len);
        return Err(LayerError::new(LayerErrorKind::Limit, message));
    }
    Ok(Some(header))
}

fn cut_short() -> LayerError {
    let message = "the stream below ended in the middle of a TDS packet";
    LayerError::new(LayerErrorKind::Truncated, message)
}

/// One direction of a handshake, followed by the headers of its records.
#[derive(Debug)]
struct Records {
    place: Place,
    /// Whether ChangeCipherSpec has passed.
    changed: bool,
}

/// Where in the records.
#[derive(Debug)]
enum Place {
    /// In a header, of which so many bytes have passed.
    Header { bytes: [u8; RECORD_HEADER], passed: usize },
    /// In a body, of which so many bytes are still to pass.
    Body { rest: usize, then: Then },
    /// Behind Finished.
    Over,
}

/// What comes behind a body.
#[derive(Clone, Copy, Debug)]
enum Then {
    More,
    Over,
}

impl Records {
    fn new() -> Self {
        Self { place: Place::header(), changed: false }
    }

    fn are_over(&self) -> bool {
        matches!(self.place, Place::Over)
    }

    /// Follows `bytes` as far as the handshake goes, and returns how far that is.
    fn follow(&mut self, bytes: &[u8]) -> Result<usize, LayerError> {
        let mut left = bytes;
        loop {
            match &mut self.place {
                Place::Header { bytes: header, passed } => {
                    let missing = &mut header[*passed..];
                    let count = missing.len().min(left.len());
                    missing[..count].copy_from_slice(&left[..count]);
                    *passed += count;
                    left = &left[count..];
                    if *passed < RECORD_HEADER {
                        return Ok(bytes.len());
                    }
                    let header = *header;
                    self.place = self.body_behind(header)?;
                }
                Place::Body { rest, then } => {
                    let count = (*rest).min(left.len());
                    *rest -= count;
                    left = &left[count..];
                    if *rest > 0 {
                        return Ok(bytes.len());
                    }
                    self.place = match then {
                        Then::More => Place::header(),
                        Then::Over => Place::Over,
                    };
                }
                Place::Over => return Ok(bytes.len() - left.len()),
            }
        }
    }

    fn body_behind(&mut self, header: [u8; RECORD_HEADER]) -> Result<Place, LayerError> {
        let [content_type, major, _, high, low] = header;
        let rest = usize::from(u16::from_be_bytes([high, low]));
        let then = match content_type {
            _ if major != MAJOR => return Err(not_tls()),
            HANDSHAKE if self.changed => Then::Over,
            HANDSHAKE | ALERT => Then::More,
            CHANGE_CIPHER_SPEC => {
                self.changed = true;
                Then::More
            }
            APPLICATION_DATA => {
                let message = "TDS carries handshakes up to TLS 1.2 alone, and a record of data came before Finished";
                return Err(LayerError::new(LayerErrorKind::Protocol, message));
            }
            _ => return Err(not_tls()),
        };
        if rest > MAX_RECORD {
            let message = format!("a TLS record has {rest} bytes, and {MAX_RECORD} are the most");
            return Err(LayerError::new(LayerErrorKind::Limit, message));
        }
        Ok(Place::Body { rest, then })
    }
}

impl Place {
    fn header() -> Self {
        Self::Header { bytes: [0; RECORD_HEADER], passed: 0 }
    }
}

fn not_tls() -> LayerError {
    LayerError::new(LayerErrorKind::NotSpoken, "what the TDS packets carry is not TLS")
}

/// The largest packet that can be negotiated is one of 32,767 bytes; some clients begin with that.
const MAX_PAYLOAD: usize = 32_767 - HEADER;

/// Type, version, length.
const RECORD_HEADER: usize = 5;

/// 2^14 and what encryption may add (RFC 5246 section 6.2.3).
const MAX_RECORD: usize = 16_384 + 2048;

const MAJOR: u8 = 3;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
