"""The answering side of the onion line protocol."""

import dataclasses
import hashlib
import ssl
import sys
import threading

from peer.stream import CHUNK, CloseNotify, EndOfFile, LayerFailed, LineTooLong, without_ending
from peer.syntax import Refused, host_name, number


@dataclasses.dataclass(frozen=True)
class Service:
    """What a server needs for every session. Without `anchors` it refuses RSTARTTLS."""

    identity: ssl.SSLContext
    anchors: ssl.SSLContext | None


class Session:
    """The answering side of one connection. One thread runs it, one command after the other."""

    def __init__(self, connection, service):
        self.connection = connection
        self.service = service
        self.over = False
        self.commands = {
            b"ECHO": self.echo,
            b"DEPTH": self.tell_depth,
            b"STARTTLS": self.start_tls,
            b"RSTARTTLS": self.start_tls_reversed,
            b"STOPTLS": self.stop_tls,
            b"ASTOPTLS": self.stop_tls_after_asker,
            b"GLUE": self.glue,
            b"BULK": self.bulk,
            b"SINK": self.sink,
            b"QUIT": self.quit,
        }

    def run(self):
        """Serve until QUIT, the end of the connection, or a failure.

        A failure ends the wire only: the truncated layers tell the peer that this was no clean end.
        """
        try:
            while not self.over:
                self.serve_one()
        except EndOfFile:
            self.connection.close()
        except (LayerFailed, OSError) as error:
            print(f"connection lost: {error}", file=sys.stderr, flush=True)
            self.connection.wire.end()

    def serve_one(self):
        """Serve one command, or answer a close_notify that nobody announced."""
        try:
            line = without_ending(self.connection.top.take_line())
            command, _, argument = line.partition(b" ")
            if command not in self.commands:
                raise Refused("unknown command")
            self.commands[command](argument)
        except CloseNotify:
            self.connection.answer_stop()
        except (Refused, LineTooLong) as reason:
            self.answer(f"ERR {reason}")

    def answer(self, text):
        text = text.encode() if isinstance(text, str) else text
        self.connection.top.send(text + b"\r\n")

    def echo(self, text):
        self.answer(b"ECHO " + text)

    def tell_depth(self, _):
        self.answer(f"DEPTH {self.connection.depth} {self.connection.versions}")

    def start_tls(self, argument):
        """Answer, then be the TLS server. The ClientHello may have come along with the command."""
        host_name(argument)
        self.require_room()
        self.answer(f"OK STARTTLS {self.connection.depth + 1}")
        self.connection.splice(self.connection.layer(self.service.identity, server_side=True))

    def start_tls_reversed(self, argument):
        """Answer, then be the TLS client. The answer and the ClientHello leave in a single send."""
        name = host_name(argument)
        if self.service.anchors is None:
            raise Refused("RSTARTTLS needs a server with --ca")
        self.require_room()
        layer = self.connection.layer(self.service.anchors, server_side=False, name=name)
        with self.connection.top.gathered():
            self.answer(f"OK RSTARTTLS {self.connection.depth + 1}")
            layer.advance_handshake()
        self.connection.splice(layer)

    def stop_tls(self, _):
        """Answer in a segment of its own, then our close_notify, then wait for the asker's."""
        self.require_layer()
        self.answer(f"OK STOPTLS {self.connection.depth - 1}")
        self.connection.stop()

    def stop_tls_after_asker(self, _):
        self.require_layer()
        self.answer(f"OK ASTOPTLS {self.connection.depth - 1}")
        self.connection.answer_stop()

    def glue(self, text):
        """The line behind the close_notify leaves before the asker's close_notify has come."""
        self.require_layer()
        with self.connection.wire.gathered():
            self.answer("OK GLUE")
            self.connection.top.close()
            self.connection.below.send(b"GLUED " + text + b"\r\n")
        self.connection.stop()

    def bulk(self, argument):
        remaining = number(argument)
        self.answer(f"BULK {remaining}")
        while remaining:
            piece = min(remaining, CHUNK)
            self.connection.top.send(b"x" * piece)
            remaining -= piece

    def sink(self, argument):
        count = remaining = number(argument)
        digest = hashlib.sha256()
        while remaining:
            data = self.connection.top.take_some(remaining)
            digest.update(data)
            remaining -= len(data)
        self.answer(f"SUNK {count} {digest.hexdigest()}")

    def quit(self, _):
        self.answer("BYE")
        self.connection.close()
        self.over = True

    def require_layer(self):
        if not self.connection.layers:
            raise Refused("no layer to stop")

    def require_room(self):
        if self.connection.depth >= DEPTH_LIMIT:
            raise Refused(f"depth is limited to {DEPTH_LIMIT}")


def serve(listener, run_session):
    """Accept for ever; call `run_session(socket)` for each connection in a thread of its own."""
    host, port = listener.getsockname()
    print(f"listening on tcp:{host}:{port}", flush=True)
    while True:
        connected, _ = listener.accept()
        threading.Thread(target=run_session, args=[connected], daemon=True).start()


DEPTH_LIMIT = 16
