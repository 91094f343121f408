"""The misbehaving server: a client that does not notice its fault is broken."""

from peer.server import Session
from peer.syntax import number
from peer.tls import RECORD_HEADER, body_length


class FaultySession(Session):
    """An honest session but for one command. `FAULTS` lists the faults by their names."""

    def __init__(self, connection, service, fault):
        super().__init__(connection, service)
        self.commands |= FAULTS[fault](self)

    def plaintext_after_ok(self, _):
        """Inject an answer in clear, then go on as an honest server would."""
        layer = self.connection.layer(self.service.identity, server_side=True)
        self.answer(f"OK STARTTLS {self.connection.depth + 1}\r\nECHO injected")
        self.connection.splice(layer)

    def garbage_instead_of_close(self, _):
        self.require_layer()
        self.answer(f"OK STOPTLS {self.connection.depth - 1}")
        self.connection.below.send(b"this is no close_notify\r\n")
        self.fall_silent()

    def no_close_notify(self, command):
        """Announce the stop and keep the socket open, but never close the layer."""
        self.require_layer()
        self.answer(f"OK {command} {self.connection.depth - 1}")
        self.fall_silent()

    def stall_handshake(self, _):
        self.answer(f"OK STARTTLS {self.connection.depth + 1}")
        self.fall_silent()

    def eof_in_handshake(self, _):
        """Take the first record of the ClientHello and end the connection."""
        self.answer(f"OK STARTTLS {self.connection.depth + 1}")
        self.connection.top.take(body_length(self.connection.top.take(RECORD_HEADER)))
        self.connection.wire.end()
        self.over = True

    def reset_mid_data(self, argument):
        """Promise n bytes, send half of them, reset the connection."""
        count = number(argument)
        self.answer(f"BULK {count}")
        self.connection.top.send(b"x" * (count // 2))
        self.connection.wire.reset()
        self.over = True

    def fall_silent(self):
        self.connection.wire.discard()
        self.connection.wire.end()
        self.over = True


FAULTS = {
    "plaintext-after-ok": lambda session: {b"STARTTLS": session.plaintext_after_ok},
    "garbage-instead-of-close": lambda session: {b"STOPTLS": session.garbage_instead_of_close},
    "no-close-notify": lambda session: {
        b"STOPTLS": lambda _: session.no_close_notify("STOPTLS"),
        b"ASTOPTLS": lambda _: session.no_close_notify("ASTOPTLS"),
    },
    "stall-handshake": lambda session: {b"STARTTLS": session.stall_handshake},
    "eof-in-handshake": lambda session: {b"STARTTLS": session.eof_in_handshake},
    "reset-mid-data": lambda session: {b"BULK": session.reset_mid_data},
}
