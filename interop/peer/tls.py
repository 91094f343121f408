"""One TLS session over the stream below it. The only module that speaks to OpenSSL."""

import contextlib
import enum
import ssl

from peer.stream import CHUNK, CloseNotify, LayerFailed, NotTls, Stream, StreamEnd


class TlsLayer(Stream):
    """One TLS session over the stream below it. OpenSSL sees memory only, one record at a time."""

    def __init__(self, below, depth, context, server_side, name=None):
        super().__init__()
        self.below = below
        self.depth = depth
        self.write_half = Half.OPEN
        self.read_half = Half.OPEN
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=name
        )

    @property
    def version(self):
        """The negotiated version as OpenSSL names it: `TLSv1.3`."""
        return self._tls.version()

    def handshake(self):
        """Shake hands to the end."""
        while not self.advance_handshake():
            self._feed_record()

    def advance_handshake(self):
        """Go as far as the bytes at hand allow. A client's first call sends its ClientHello."""
        with self._failures():
            try:
                self._tls.do_handshake()
                return True
            except ssl.SSLWantReadError:
                return False

    def receive(self):
        """Decrypt until there is plaintext.

        OpenSSL reports the peer's close_notify in two ways: as an empty read while our write
        half is open, as SSLZeroReturnError once we have closed it too.

        One read empties the record that was fed: a record carries at most 16384 bytes. `close`
        relies on that.
        """
        while self.read_half is Half.OPEN:
            with self._failures():
                try:
                    plaintext = self._tls.read(CHUNK)
                except ssl.SSLWantReadError:
                    plaintext = None
                except ssl.SSLZeroReturnError:
                    plaintext = b""
            if plaintext:
                self.inbound += plaintext
                return
            if plaintext is None:
                self._feed_record()
            else:
                self.read_half = Half.CLOSED
        raise CloseNotify(f"close_notify of layer {self.depth}")

    def transmit(self, data):
        if self.write_half is Half.CLOSED:
            raise AssertionError(f"layer {self.depth}: write behind our close_notify")
        with self._failures():
            while data:
                written = self._tls.write(data)
                data = data[written:]

    def close(self):
        """Close the write half: send our close_notify, once.

        `unwrap` must find no application data of the peer, neither in the incoming BIO nor in
        OpenSSL's own buffer: it would fail the session for good. `receive` leaves none behind.
        """
        if self.write_half is Half.CLOSED:
            return
        self.write_half = Half.CLOSED
        with self._failures(), contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()

    def drain(self):
        """Read on until the peer's close_notify; return how many late bytes came before it.

        Late bytes belong to this layer and are dropped here, never handed to the level below.
        """
        late = 0
        with contextlib.suppress(CloseNotify):
            while True:
                late += len(self.inbound)
                self.inbound.clear()
                self.receive()
        return late

    def _feed_record(self):
        try:
            header = self.below.take(RECORD_HEADER)
            if not is_record_header(header):
                self._refuse(header)
            body = self.below.take(body_length(header))
        except StreamEnd as end:
            raise LayerFailed(f"layer {self.depth}: truncated by {end}") from end
        self._incoming.write(header + body)

    def _refuse(self, header):
        """Give OpenSSL the bad header, for the alert it may want to send, and fail."""
        self._incoming.write(header)
        with contextlib.suppress(ssl.SSLError):
            self._tls.read(1)
        self._flush()
        raise NotTls(f"layer {self.depth}: the peer is speaking plaintext: {header!r}")

    @contextlib.contextmanager
    def _failures(self):
        """Name the layer in OpenSSL's failures; send what it has to say, alerts among it."""
        try:
            yield
        except ssl.SSLError as error:
            with contextlib.suppress(ConnectionError):
                self._flush()
            reason = getattr(error, "verify_message", None) or error.reason or error
            raise LayerFailed(f"layer {self.depth}: {reason}") from error
        self._flush()

    def _flush(self):
        if self._outgoing.pending:
            self.below.send(self._outgoing.read())


class Half(enum.Enum):
    """The state of one direction of a TLS layer."""

    OPEN = "open"
    CLOSED = "closed by close_notify"


def is_record_header(header):
    """RFC 8446 section 5.1, RFC 5246 section 6.2: content type, version 3.x, length."""
    return header[0] in RECORD_TYPES and header[1] == 3 and body_length(header) <= RECORD_BODY_LIMIT


def body_length(header):
    return int.from_bytes(header[3:5])


RECORD_HEADER = 5
RECORD_TYPES = range(20, 24)
RECORD_BODY_LIMIT = 2**14 + 2048
