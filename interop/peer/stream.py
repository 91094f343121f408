"""Streams of bytes, and the wire: the one at the bottom."""

import contextlib
import socket
import struct
import time


class StreamEnd(Exception):
    """A stream has ended in order: nothing is left to take from it."""


class EndOfFile(StreamEnd):
    """The peer has ended its direction of the TCP connection."""


class CloseNotify(StreamEnd):
    """The peer has closed its direction of a TLS layer."""


class LayerFailed(Exception):
    """A TLS layer cannot go on. The connection is lost."""


class NotTls(LayerFailed):
    """The peer sent something else where a TLS record was due."""


class LineTooLong(Exception):
    """The line is over the limit. It has been skipped; the stream stands behind it."""


class Stream:
    """Bytes in both directions. The received ones stay in `inbound` until somebody takes them."""

    def __init__(self):
        self.inbound = bytearray()
        self._gathered = None

    def take(self, count):
        """Take exactly `count` bytes."""
        while len(self.inbound) < count:
            self.receive()
        taken = bytes(self.inbound[:count])
        del self.inbound[:count]
        return taken

    def take_some(self, limit):
        """Take at least one byte and at most `limit`."""
        if not self.inbound:
            self.receive()
        return self.take(min(limit, len(self.inbound)))

    def take_line(self):
        """Take one line with its ending. Memory stays bounded however long the line is."""
        overlong = False
        while (end := self.inbound.find(b"\n")) < 0:
            if len(self.inbound) > LINE_LIMIT + len(b"\r"):
                overlong = True
                self.inbound.clear()
            self.receive()
        line = self.take(end + 1)
        if overlong or len(without_ending(line)) > LINE_LIMIT:
            raise LineTooLong(f"line over {LINE_LIMIT} bytes")
        return line

    def send(self, data):
        """Send all of `data`, or keep it for the single send of `gathered`."""
        if self._gathered is None:
            self.transmit(data)
        else:
            self._gathered += data

    @contextlib.contextmanager
    def gathered(self):
        """Whatever is sent through this stream inside the block leaves in a single send."""
        self._gathered = bytearray()
        try:
            yield
        finally:
            data, self._gathered = self._gathered, None
        self.transmit(data)

    def receive(self):
        """Add at least one byte to `inbound`, or raise what ended the stream."""
        raise NotImplementedError

    def transmit(self, data):
        """Pass `data` down, now."""
        raise NotImplementedError


class Wire(Stream):
    """The stream at the bottom: one socket, with a deadline for each call that may block."""

    def __init__(self, connected, max_send=None):
        super().__init__()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self.max_send = max_send
        self.expires = None

    def receive(self):
        self._arm()
        data = self.socket.recv(CHUNK)
        if not data:
            raise EndOfFile("end of the connection")
        self.inbound += data

    def transmit(self, data):
        """One send, or with `max_send` many small ones, so that records are cut anywhere."""
        piece = self.max_send or max(len(data), 1)
        for start in range(0, len(data), piece):
            self._arm()
            self.socket.sendall(data[start : start + piece])

    @contextlib.contextmanager
    def deadline(self, seconds):
        """Blocking calls inside the block end with TimeoutError once `seconds` have gone by."""
        outer = self.expires
        ours = time.monotonic() + seconds
        self.expires = ours if outer is None else min(ours, outer)
        try:
            yield
        finally:
            self.expires = outer

    def discard(self):
        """Read and drop everything until the peer ends its direction."""
        self.inbound.clear()
        with contextlib.suppress(EndOfFile):
            while True:
                self.receive()
                self.inbound.clear()

    def end(self):
        """End our direction, then wait for the peer's end, so that no reset overtakes our bytes."""
        with contextlib.suppress(OSError), self.deadline(STOP_SECONDS):
            self.socket.shutdown(socket.SHUT_WR)
            self.discard()
        self.socket.close()

    def reset(self):
        """Drop the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _arm(self):
        remaining = None if self.expires is None else self.expires - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise TimeoutError("timed out")
        self.socket.settimeout(remaining)


def without_ending(line):
    """The line without its CRLF or LF."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


LINE_LIMIT = 8192
STOP_SECONDS = 5
CHUNK = 65536
