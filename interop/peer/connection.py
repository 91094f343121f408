"""A connection: the wire and the TLS layers on it."""

from peer.stream import STOP_SECONDS, Wire
from peer.tls import TlsLayer


class Connection:
    """A wire and the TLS layers on it, outermost first. All of them are past their handshake."""

    def __init__(self, connected, max_send=None):
        self.wire = Wire(connected, max_send)
        self.layers = []

    @property
    def depth(self):
        return len(self.layers)

    @property
    def top(self):
        """The stream to speak through: the innermost layer, or the wire."""
        return self.layers[-1] if self.layers else self.wire

    @property
    def below(self):
        """The stream to speak through once the innermost layer is peeled."""
        return self.layers[-1].below

    @property
    def versions(self):
        """What DEPTH tells: `TLSv1.2/TLSv1.3`, outermost first, or `-`."""
        return "/".join(layer.version for layer in self.layers) or "-"

    def layer(self, context, server_side, name=None):
        """A layer over the top, not part of the connection before `splice`."""
        return TlsLayer(self.top, self.depth + 1, context, server_side, name)

    def splice(self, layer):
        """Finish the handshake of `layer` and speak through it from now on."""
        with self.wire.deadline(HANDSHAKE_SECONDS):
            layer.handshake()
        self.layers.append(layer)

    def stop(self):
        """Stop the innermost layer, our close_notify first. Return the count of late bytes."""
        with self.wire.deadline(STOP_SECONDS):
            self.top.close()
            late = self.top.drain()
            self.layers.pop()
            return late

    def answer_stop(self):
        """The same with the peer's close_notify first."""
        with self.wire.deadline(STOP_SECONDS):
            late = self.top.drain()
            self.top.close()
            self.layers.pop()
            return late

    def close(self):
        """Send close_notify on every layer from the inside out, then end the wire."""
        with self.wire.deadline(STOP_SECONDS):
            for layer in reversed(self.layers):
                layer.close()
        self.wire.end()


HANDSHAKE_SECONDS = 10
