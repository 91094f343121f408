"""The asking side: a script of steps, and a check of every answer."""

import contextlib
import hashlib

from peer.stream import CHUNK, EndOfFile, LayerFailed, LineTooLong, NotTls, StreamEnd
from peer.syntax import Refused, host_name, number
from peer.tls import RECORD_HEADER, body_length, is_record_header


class Mismatch(Exception):
    """The server's answer is not the one the protocol asks for."""

    def __init__(self, expected, got):
        super().__init__(f"expected {expected}, got {got}")


class Client:
    """The asking side: runs a script of steps and checks every answer."""

    def __init__(self, connection, new_server_context, new_client_context):
        self.connection = connection
        self.new_server_context = new_server_context
        self.new_client_context = new_client_context

    def run(self, script, seconds):
        """Run `script`, a list of (step, argument), with a deadline of `seconds` for each step."""
        for step, argument in script:
            if step in STOPS_UNASKED and not self.connection.layers:
                raise SystemExit(f"step {step}: expected a layer to stop, got depth 0")
            try:
                with self.connection.wire.deadline(seconds):
                    STEPS[step](self, argument)
            except Mismatch as mismatch:
                raise SystemExit(f"step {step}: {mismatch}") from mismatch
            except FAILURES as error:
                raise SystemExit(f"step {step}: expected no failure, got: {error}") from error
        if step not in LAST_STEPS:
            self.connection.close()

    def ask(self, line):
        self.connection.top.send(line + b"\r\n")

    def expect(self, line):
        try:
            got = self.connection.top.take_line()
        except FAILURES as error:
            raise Mismatch(repr(line), error) from error
        if got != line + b"\r\n":
            raise Mismatch(repr(line), repr(got))

    # Steps without a change of layers

    def echo(self, text):
        self.ask(b"ECHO " + text)
        self.expect(b"ECHO " + text)

    def depth(self, argument):
        """`depth:2:TLSv1.3/TLSv1.2`, or `depth` for what our own end of the connection says."""
        depth, _, versions = argument.partition(b":")
        self.ask(b"DEPTH")
        self.expect(b"DEPTH %s %s" % (depth, versions) if argument else self.own_depth())

    def bulk(self, argument):
        self.ask(b"BULK " + argument)
        self.expect_bulk(number(argument))

    def sink(self, argument):
        data, answer = self.sinking(number(argument))
        self.ask(b"SINK " + argument)
        self.connection.top.send(data)
        self.expect(answer)

    def refused(self, line):
        """Send any line; the answer must be an ERR."""
        self.ask(line)
        answer = self.connection.top.take_line()
        if not (answer.startswith(b"ERR ") and answer.endswith(b"\r\n")):
            raise Mismatch("an ERR line", repr(answer))

    def pipeline(self, _):
        """Many commands in a single send: the answers come complete and in order."""
        data, sunk = self.sinking(100)
        with self.connection.top.gathered():
            self.ask(b"ECHO first\r\nDEPTH\r\nBULK 1000\r\nSINK 100")
            self.connection.top.send(data)
            self.connection.top.send(b"ECHO ends in LF\n")
            self.ask(b"ECHO last")
        self.expect(b"ECHO first")
        self.expect(self.own_depth())
        self.expect_bulk(1000)
        self.expect(sunk)
        self.expect(b"ECHO ends in LF")
        self.expect(b"ECHO last")

    # Steps that start a layer

    def start_tls(self, name):
        """Without a name the command has none either, and `localhost` is verified."""
        self.ask_to_start(b"STARTTLS", name)
        self.expect_start(b"STARTTLS")
        self.splice(self.client_layer(name))

    def start_tls_reversed(self, name):
        """The peer is the TLS client. Its ClientHello may share a segment with its answer."""
        self.ask_to_start(b"RSTARTTLS", name)
        self.expect_start(b"RSTARTTLS")
        self.splice(self.connection.layer(self.new_server_context(), server_side=True))

    def coalesce_hello(self, name):
        """The command and the ClientHello in a single send: the server gives the rest to TLS."""
        with self.connection.top.gathered():
            layer = self.send_start_and_hello(name)
        self.expect_start(b"STARTTLS")
        self.splice(layer)

    def inject(self, text):
        """Plaintext right behind the command: it must break the handshake and is never answered."""
        below = self.connection.top
        below.send(b"STARTTLS\r\n" + text + b"\r\n")
        self.expect_start(b"STARTTLS")
        layer = self.client_layer(b"")
        refusal = "a failed handshake and no answer to the injected line"
        try:
            layer.handshake()
        except NotTls as error:
            raise Mismatch(refusal, error) from error
        except (LayerFailed, ConnectionError):
            self.expect_records_until_end(below, refusal)
        else:
            raise Mismatch(refusal, "a finished handshake")

    # Steps that stop a layer

    def stop_tls(self, _):
        self.ask_to_stop(b"STOPTLS")
        self.expect_nothing_late(self.connection.answer_stop())
        self.depth(b"")

    def stop_tls_after_us(self, _):
        self.ask_to_stop(b"ASTOPTLS")
        self.expect_nothing_late(self.connection.stop())
        self.depth(b"")

    def cross(self, _):
        """STOPTLS and our close_notify in a single send: both sides stop at once."""
        with self.connection.wire.gathered():
            self.ask(b"STOPTLS")
            self.connection.top.close()
        self.expect_stop(b"STOPTLS")
        self.expect_nothing_late(self.connection.stop())
        self.depth(b"")

    def unannounced(self, _):
        """Our close_notify without a word: answered in kind, and the layer is peeled."""
        self.expect_nothing_late(self.connection.stop())
        self.depth(b"")

    def half_close(self, argument):
        """BULK n and our close_notify in a single send: the data still comes, then the answer."""
        with self.connection.wire.gathered():
            self.ask(b"BULK " + argument)
            self.connection.top.close()
        self.expect_bulk(number(argument))
        self.expect_nothing_late(self.connection.stop())
        self.depth(b"")

    def late(self, text):
        """A line behind STOPTLS, inside the layer: it is read past, never answered."""
        with self.connection.top.gathered():
            self.ask(b"STOPTLS\r\nECHO " + text)
        self.expect_stop(b"STOPTLS")
        self.expect_nothing_late(self.connection.answer_stop())
        self.depth(b"")

    def glue(self, text):
        """The line that came with the close_notify is byte-exact one layer further out."""
        self.ask(b"GLUE " + text)
        self.expect(b"OK GLUE")
        self.expect_nothing_late(self.connection.answer_stop())
        self.expect(b"GLUED " + text)
        self.depth(b"")

    def restart(self, name):
        """Our answering close_notify, the next STARTTLS and its ClientHello in a single send."""
        self.ask_to_stop(b"STOPTLS")
        self.expect_nothing_late(self.connection.top.drain())
        below = self.connection.below
        with below.gathered():
            self.connection.answer_stop()
            layer = self.send_start_and_hello(name)
        self.expect_start(b"STARTTLS")
        self.splice(layer)

    def quit(self, _):
        """BYE, close_notify on every layer from the inside out, the end, and nothing in between.

        We answer each close_notify as it comes. The server may be gone by then; that is no error,
        and neither is a reset once every layer has ended in order.
        """
        self.ask(b"QUIT")
        self.expect(b"BYE")
        for layer in reversed(self.connection.layers):
            self.expect_nothing_late(layer.drain())
            with contextlib.suppress(ConnectionError):
                layer.close()
        try:
            rest = self.connection.wire.take_some(CHUNK)
        except (EndOfFile, ConnectionError):
            self.connection.wire.end()
        else:
            raise Mismatch("the end of the connection", repr(rest))

    # What the steps share

    def own_depth(self):
        return f"DEPTH {self.connection.depth} {self.connection.versions}".encode()

    def client_layer(self, name):
        context = self.new_client_context()
        return self.connection.layer(context, server_side=False, name=host_name(name))

    def ask_to_start(self, command, name):
        self.ask(command + b" " + name if name else command)

    def expect_start(self, command):
        self.expect(b"OK %s %d" % (command, self.connection.depth + 1))

    def send_start_and_hello(self, name):
        """Send STARTTLS and the ClientHello without waiting; the layer is not spliced yet."""
        self.ask_to_start(b"STARTTLS", name)
        layer = self.client_layer(name)
        layer.advance_handshake()
        return layer

    def splice(self, layer):
        self.connection.splice(layer)
        self.depth(b"")

    def ask_to_stop(self, command):
        self.ask(command)
        self.expect_stop(command)

    def expect_stop(self, command):
        self.expect(b"OK %s %d" % (command, self.connection.depth - 1))

    def expect_nothing_late(self, late):
        if late:
            raise Mismatch("close_notify", f"{late} more bytes inside the layer")

    def expect_bulk(self, count):
        self.expect(b"BULK %d" % count)
        remaining = count
        while remaining:
            data = self.connection.top.take_some(min(remaining, CHUNK))
            if data.strip(b"x"):
                raise Mismatch(f"{count} bytes x", f"{data.strip(b'x')[:40]!r} among them")
            remaining -= len(data)

    def expect_records_until_end(self, stream, expected):
        """Up to the end there may be TLS records, such as an alert, and nothing else."""
        with contextlib.suppress(StreamEnd, LayerFailed, ConnectionError):
            while True:
                header = stream.take(RECORD_HEADER)
                if not is_record_header(header):
                    raise Mismatch(expected, f"plaintext {header!r}")
                stream.take(body_length(header))
        self.connection.wire.end()

    def sinking(self, count):
        """Some data of `count` bytes and the answer that SINK gives for it."""
        data = bytes(index % 251 for index in range(count))
        return data, f"SUNK {count} {hashlib.sha256(data).hexdigest()}".encode()


STEPS = {
    "echo": Client.echo,
    "depth": Client.depth,
    "bulk": Client.bulk,
    "sink": Client.sink,
    "refused": Client.refused,
    "pipeline": Client.pipeline,
    "starttls": Client.start_tls,
    "rstarttls": Client.start_tls_reversed,
    "coalesce-hello": Client.coalesce_hello,
    "inject": Client.inject,
    "stoptls": Client.stop_tls,
    "astoptls": Client.stop_tls_after_us,
    "cross": Client.cross,
    "unannounced": Client.unannounced,
    "halfclose": Client.half_close,
    "late": Client.late,
    "glue": Client.glue,
    "restart": Client.restart,
    "quit": Client.quit,
}

LAST_STEPS = {"inject", "quit"}
STOPS_UNASKED = {"cross", "unannounced", "halfclose"}
FAILURES = (StreamEnd, LayerFailed, LineTooLong, Refused, OSError)
