//! Compression of everything that passes: raw deflate (RFC 1951), as IMAP has it (RFC 4978).
//!
//! # Where one message ends
//!
//! Deflate packs bits, so the end of a message may be stuck inside a byte that is not full. What was written is
//! therefore followed by a *sync flush*, an empty stored block, which ends at a byte: `00 00 FF FF`. The peer can go on
//! at once. The dictionary stays, so that the next message is packed against all that came before.
//!
//! # Where the stream ends
//!
//! A deflate stream ends with a block that says it is the final one. Three cases are to be told apart:
//!
//! - **Both want to go on without compression.** `stop` ends our stream with a final block and waits for the peer's.
//!   What stands behind that belongs to the layer below, to the byte. This is the stop of TLS with another word for
//!   close_notify, and it follows the same table.
//! - **The peer hangs up.** Peers of RFC 4978 never send a final block: they say goodbye in their own protocol and
//!   close. An end of file right behind a sync flush loses nothing, so it is a clean end of this layer, as long as no
//!   stop was asked for. Whether an attacker has cut the stream there, deflate cannot tell; TLS below it can.
//! - **The stream is cut.** Anywhere else, and instead of the final block that a stop waits for, an end of file is a
//!   truncation.
//!
//! Four bytes that look like a sync flush may stand inside a block by chance. Then a cut at that very byte passes for a
//! hang-up. That is no more than an attacker can have anyway, who cuts where there is one.

use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::ending::{Ending, Halves, ReadHalf, WriteHalf};
use crate::stack::{
    End, Ends, Failure, Framing, GoesFirst, Layer, LayerError, LayerErrorKind, Opens, Order, Overdue, Patience, Queue,
    Stop, Way,
};

/// Compresses what goes to the peer, and decompresses what comes: raw deflate (RFC 1951), for `COMPRESS=DEFLATE` of
/// IMAP (RFC 4978) and its like.
///
/// Each side puts it in at the same place in the stream, behind the line that announced it. Whatever was written is
/// flushed at once. It is *stopped* as TLS is, with a final block for a close_notify
/// ([`Connection::stop_tls`](crate::Connection::stop_tls) stops whatever is innermost), and the peer must know the same
/// end; peers of RFC 4978 do not, and just hang up. That is a clean end of the layer.
///
/// # Limits
///
/// It takes about 350 KiB of memory, and never more: what the peer's data comes to is given on as fast as there is
/// room, so a small message that unpacks to gigabytes waits as any other.
///
/// # Security
///
/// How well a text is packed tells something of what is in it. Where an attacker can choose a part of what is sent
/// together with a secret, do not compress it, however it is encrypted.
///
/// # Errors
///
/// The connection is lost when the peer's data is no deflate ([`Protocol`](LayerErrorKind::Protocol)), and when it is
/// cut off ([`Truncated`](LayerErrorKind::Truncated)). What came in the same read as data that is no deflate may be
/// lost with it.
///
/// ```
/// use onionskin::layer::Deflate;
/// use onionskin::testing::{Cut, Pair};
///
/// let mut pair = Pair::new(Cut::Whole);
/// pair.left.splice(Deflate::new());
/// pair.right.splice(Deflate::new());
/// let text = b"* OK all is well\r\n".repeat(100);
/// pair.left.write(&text);
/// pair.run();
/// assert_eq!(pair.right.read(), text);
/// assert!(pair.left.sent().len() < 100);
/// ```
pub struct Deflate {
    compress: Compress,
    inflate: Inflate,
    halves: Halves,
    ends_anywhere: bool,
}

impl Deflate {
    /// Compression of the usual level.
    #[must_use]
    pub fn new() -> Self {
        Self {
            compress: Compress::new(Compression::default(), false),
            inflate: Inflate::new(),
            halves: Halves::new(),
            ends_anywhere: false,
        }
    }

    /// How hard to try: from 0, not at all, to 9. It is 6 unless set.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.compress = Compress::new(Compression::new(u32::from(level.min(9))), false);
        self
    }

    /// Takes a hang-up anywhere for a clean end, for peers that flush in another way (zlib's `Z_PARTIAL_FLUSH`, as some
    /// clients of IMAP do): then nothing marks the end of a message. What was cut off is not noticed here; have TLS
    /// below.
    #[must_use]
    pub fn ends_anywhere(mut self) -> Self {
        self.ends_anywhere = true;
        self
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflate").field("halves", &self.halves).finish_non_exhaustive()
    }
}

impl Opens for Deflate {
    type Facts = ();
}

impl Layer for Deflate {
    fn name(&self) -> &'static str {
        "deflate"
    }

    fn inbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let mut worked = 0;
        while self.halves.read() == ReadHalf::Open {
            let Way { from: input, to: plain } = ends.all().inbound;
            // Bytes that unpack to nothing, or to much, are work all the same. The layer is called again for what is left of
            // the input.
            if worked >= BYTES_PER_CALL && !input.front().is_empty() {
                return Ok(());
            }
            let before = (input.len(), plain.len());
            let inflated = self.inflate.step(input, plain)?;
            worked += before.0 - input.len() + plain.len() - before.1;
            match inflated {
                Inflated::Some => {}
                Inflated::NoRoom => return Ok(()),
                Inflated::All => return self.check_end(ends),
                Inflated::Final => self.peer_ended(ends)?,
            }
        }
        Ok(())
    }

    fn outbound(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        while self.halves.write() == WriteHalf::Open {
            let largest = ends.unit().saturating_sub(OVERHEAD).clamp(MIN_FRAGMENT, FRAGMENT);
            let Way { from: plain, to: output } = ends.all().outbound;
            let fragment = plain.front().len().min(largest);
            if fragment > 0 {
                if !output.is_empty() && output.room() < fragment + OVERHEAD {
                    return Ok(());
                }
                deflate(&mut self.compress, &plain.front()[..fragment], FlushCompress::Sync, output)?;
                plain.consume(fragment);
                continue;
            }
            match plain.take_mark() {
                Some(order) => self.obey(order, ends)?,
                None => return Ok(()),
            }
        }
        self.obey_behind_end(ends)
    }

    fn can_stop(&self) -> bool {
        true
    }

    fn stop(&mut self, stop: &Stop, _ends: &mut Ends<'_>) -> Result<(), LayerError> {
        if stop.goes_first() == GoesFirst::Nobody {
            // What the peer says next would have gone into the inflater before the order came.
            let message = "compression cannot be abandoned: only a final block tells where it ends";
            return Err(LayerError::new(LayerErrorKind::Unsupported, message));
        }
        self.halves.order(*stop);
        Ok(())
    }

    fn awaits(&self) -> Option<Patience> {
        self.halves.awaits()
    }

    fn overdue(&mut self, overdue: Overdue, ends: &mut Ends<'_>) -> Result<(), Failure> {
        self.stop_overdue(overdue, ends)
    }

    fn framing(&self) -> Framing {
        Framing::new(OVERHEAD).with_largest(FRAGMENT)
    }
}

/// The read side.
impl Deflate {
    /// The input is used up: is there an end behind it?
    fn check_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        let Some(&mark) = ends.inbound_below().mark() else { return Ok(()) };
        let whole = self.ends_anywhere || self.inflate.is_flushed();
        let allowed = self.halves.ordered().is_none_or(Stop::is_lenient);
        // A loss is no end, and neither is a truncation: then the peer has not hung up, and nothing behind it can be read.
        let hung_up = whole && matches!(mark, End::Wire | End::Layer(_));
        if hung_up && allowed {
            return self.peer_left(ends);
        }
        let message = if hung_up {
            "the stream below ended instead of the peer's final block"
        } else {
            "the stream below ended in the middle of compressed data"
        };
        let error = LayerError::new(LayerErrorKind::Truncated, message);
        if mark == End::Lost {
            return Err(error.into());
        }
        self.cut_off(error, ends)
    }
}

impl Ending for Deflate {
    const END: &'static str = "final block";

    fn halves(&mut self) -> &mut Halves {
        &mut self.halves
    }

    fn send_end(&mut self, ends: &mut Ends<'_>) -> Result<(), Failure> {
        deflate(&mut self.compress, &[], FlushCompress::Finish, ends.outbound_below()).map_err(Failure::from)
    }
}

/// Compresses all of `plain`, and as much of what is packed as `flush` asks for.
fn deflate(
    compress: &mut Compress,
    mut plain: &[u8],
    flush: FlushCompress,
    output: &mut Queue<Order>,
) -> Result<(), LayerError> {
    loop {
        let taken = compress.total_in();
        let (status, filled) = output.fill(plain.len() + OVERHEAD, |space| {
            let before = compress.total_out();
            let status = compress.compress(plain, space, flush);
            let written = (compress.total_out() - before) as usize;
            (written, (status, written == space.len()))
        });
        let status = status.map_err(|error| {
            LayerError::new(LayerErrorKind::Unsupported, "what was written cannot be compressed").caused_by(error)
        })?;
        plain = &plain[(compress.total_in() - taken) as usize..];
        // Space that is not used up says that nothing is left inside.
        if status == Status::StreamEnd || (plain.is_empty() && !filled) {
            return Ok(());
        }
    }
}

struct Inflate {
    decompress: Decompress,
    /// The last space was used up, so there may be more inside.
    holds: bool,
    /// The last bytes that were taken.
    last: [u8; 4],
}

/// What came of one step.
enum Inflated {
    /// Something; there may be more to do.
    Some,
    /// Nothing, because there is no room.
    NoRoom,
    /// All of the input, as far as it goes.
    All,
    /// The end of the final block; what follows in the input is not this stream's.
    Final,
}

impl Inflate {
    fn new() -> Self {
        // A stream without a byte is whole, as one behind a flush is.
        Self { decompress: Decompress::new(false), holds: false, last: SYNC_FLUSH }
    }

    fn step(&mut self, input: &mut Queue<End>, plain: &mut Queue<End>) -> Result<Inflated, LayerError> {
        if input.front().is_empty() && !self.holds {
            return Ok(Inflated::All);
        }
        let packed = &input.front()[..input.front().len().min(BYTES_PER_CALL)];
        let room = plain.room().min(packed.len().saturating_mul(4).clamp(MIN_SPACE, FRAGMENT));
        if room == 0 {
            return Ok(Inflated::NoRoom);
        }
        let decompress = &mut self.decompress;
        let before = (decompress.total_in(), decompress.total_out());
        let status = plain.fill(room, |space| {
            let status = decompress.decompress(packed, space, FlushDecompress::None);
            ((decompress.total_out() - before.1) as usize, status)
        });
        let status = status.map_err(|error| {
            let message = "the peer's data is no deflate stream (RFC 1951)";
            LayerError::new(LayerErrorKind::Protocol, message).caused_by(error)
        })?;
        let taken = (decompress.total_in() - before.0) as usize;
        let written = (decompress.total_out() - before.1) as usize;
        self.remember(&input.front()[..taken]);
        input.consume(taken);
        self.holds = written == room;
        Ok(match status {
            Status::StreamEnd => Inflated::Final,
            _ if taken == 0 && written == 0 => Inflated::All,
            _ => Inflated::Some,
        })
    }

    fn remember(&mut self, taken: &[u8]) {
        for &byte in &taken[taken.len().saturating_sub(self.last.len())..] {
            self.last.rotate_left(1);
            self.last[3] = byte;
        }
    }

    /// Whether what came last can be the end of a flush.
    fn is_flushed(&self) -> bool {
        self.last == SYNC_FLUSH
    }
}

/// What a sync flush ends with: the length of an empty stored block, and its complement (RFC 1951 section 3.2.4).
const SYNC_FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];

/// What is compressed at once, and the most that is unpacked at once.
const FRAGMENT: usize = 1 << 14;

/// How many bytes in and out are enough for one call.
const BYTES_PER_CALL: usize = 4096;

/// However small the units below are, fragments are not cut smaller than this.
const MIN_FRAGMENT: usize = 1024;

/// Room for what a few bytes may come to.
const MIN_SPACE: usize = 512;

/// The most that packing adds to a fragment that cannot be packed: headers of stored blocks, and the flush.
const OVERHEAD: usize = 32;
