//! What the stack has to tell its driver.

use super::{LayerError, LayerId, PeerAnswer, Reason};

/// Something that happened to a layer. To be drained with [`Stack::poll_event`](super::Stack::poll_event) before
/// anything is read, so that `Ready` is known before the first byte that came through the layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The layer is ready: for TLS, the handshake is done. [`Stack::opened`](super::Stack::opened) has what it has to say, also
    /// if it has left with that.
    Ready(LayerId),
    /// The layer waits for the application to answer something, such as whether a target is reached. It says what, and takes
    /// the answer, by its type; who has none says so with [`Stack::decline`](super::Stack::decline).
    Asked(LayerId),
    /// The layer has been peeled after a stop. What it had still delivered, and the end mark behind that, can
    /// still be read.
    Stopped(LayerId, PeerAnswer),
    /// The layer failed and was peeled, as its options asked; the connection lives.
    Failed {
        /// The layer.
        layer: LayerId,
        /// What went wrong.
        error: LayerError,
        /// How many bytes had been written through the layer and were dropped, because they must not leave in clear.
        dropped: usize,
    },
}

/// What the application can read next. Bytes of two sides of a layer change never stand in one slice.
///
/// There will be no further variants: whoever left one out would lose bytes, or an end, without a word.
#[derive(Clone, Copy, Debug)]
pub enum Readable<'a> {
    /// Nothing yet.
    Nothing,
    /// Bytes, never none.
    Bytes(&'a [u8]),
    /// The layer's stream has ended. What follows belongs to the layer below; going on there is the
    /// application's decision: [`Stack::stop`](super::Stack::stop), then [`Stack::pass_end`](super::Stack::pass_end).
    Ended(LayerId),
    /// End of file on the wire, with all layers ended before it.
    EndOfInput,
    /// Nothing more comes, and everything that came before has been read: the connection is lost, or what the peer sends was
    /// cut off while our own direction is open. [`Stack::lost`](super::Stack::lost) tells which.
    Lost(&'a Reason),
}

/// What the driver is to do to the socket next.
///
/// There will be no further variants: a driver that left one out would lose bytes without a word.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// Nothing.
    Nothing,
    /// Send these bytes, then call [`Stack::handle_sent`](super::Stack::handle_sent).
    Bytes(&'a [u8]),
    /// Close the write side of the socket.
    Shutdown,
}
