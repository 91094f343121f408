#!/usr/bin/env python3
"""The peer against itself, and against servers that break a rule it has to enforce.

Run it with `python3 interop/test_onion_peer.py`. It needs the `openssl` command for certificates.
"""

import concurrent.futures
import contextlib
import io
import itertools
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

from onion_peer import client_context, server_context
from peer.connection import Connection
from peer.server import Service, Session
from peer.stream import LINE_LIMIT, CloseNotify, EndOfFile, LayerFailed, LineTooLong, NotTls, Wire

PEER = pathlib.Path(__file__).with_name("onion_peer.py")
NAMES = ("localhost", "outer.example", "inner.example", "asker.example")
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

EVERY_STEP = """
    echo:hello depth:0:- refused:STOPTLS refused:GLUE pipeline
    starttls:outer.example echo:one pipeline starttls:inner.example echo:two
    rstarttls:asker.example pipeline coalesce-hello:inner.example starttls echo:five
    bulk:20000 sink:20000 bulk:0 sink:0 refused:NOSUCH refused:BULK refused:SINK:x refused:
    glue:four halfclose:3000 late:unheard cross unannounced depth:0:- echo:clear
    coalesce-hello:outer.example restart:inner.example restart stoptls
    rstarttls:asker.example restart:outer.example astoptls
    rstarttls:asker.example starttls:inner.example glue:a:b pipeline quit
""".split()


class Certificates:
    """A self-signed certificate for each name, and a file that trusts them all."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for name in NAMES:
            command = [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ]
            command += ["-nodes", "-days", "2", "-subj", f"/CN={name}"]
            command += ["-addext", f"subjectAltName=DNS:{name}"]
            command += ["-keyout", self.key(name), "-out", self.certificate(name)]
            subprocess.run(command, check=True, capture_output=True)
        self.anchors = str(self.folder / "anchors.pem")
        chains = (pathlib.Path(self.certificate(name)).read_text() for name in NAMES)
        pathlib.Path(self.anchors).write_text("".join(chains))

    def certificate(self, name):
        return str(self.folder / f"{name}.pem")

    def key(self, name):
        return str(self.folder / f"{name}.key")

    def identity(self, name):
        return self.certificate(name), self.key(name)


class PeerCase(unittest.TestCase):
    """Runs the peer as a command."""

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.certificates = Certificates(folder)

    @contextlib.contextmanager
    def server(self, *options, action="serve"):
        """A server process; gives its port, and checks that SIGTERM ends it cleanly."""
        certificates = self.certificates
        command = [sys.executable, PEER, action, "--cert", certificates.certificate("localhost")]
        command += ["--key", certificates.key("localhost"), "--ca", certificates.anchors, *options]
        for name in ("outer.example", "inner.example"):
            command += [
                "--name",
                f"{name}={certificates.certificate(name)},{certificates.key(name)}",
            ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            try:
                banner = process.stdout.readline()
                self.assertRegex(banner, r"^listening on tcp:127\.0\.0\.1:\d+\n$")
                yield int(banner.rpartition(":")[2])
            finally:
                process.send_signal(signal.SIGTERM)
                _, self.server_log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, self.server_log)
        self.assertNotIn("Traceback", self.server_log)

    def connect(self, port, *words):
        """Run the client; give its exit code and its last line."""
        certificates = self.certificates
        command = [
            sys.executable,
            PEER,
            "connect",
            "127.0.0.1",
            str(port),
            "--ca",
            certificates.anchors,
        ]
        command += ["--cert", certificates.certificate("asker.example")]
        command += ["--key", certificates.key("asker.example"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        self.assertLessEqual(len((done.stdout + done.stderr).splitlines()), 1, done.stderr)
        return done.returncode, (done.stdout + done.stderr).strip()

    def assert_holds(self, port, *words):
        code, line = self.connect(port, *words)
        self.assertEqual(code, 0, line)

    def assert_fails(self, port, *words, because):
        code, line = self.connect(port, *words)
        self.assertEqual(code, 1, line)
        self.assertIn(because, line)


class EveryStep(PeerCase):
    """The whole protocol, with every mix of versions and with records cut anywhere."""

    def test_version_mixes(self):
        with self.server() as port:
            for mix in ("1.2", "1.3", "1.2,1.3", "1.3,1.2", "1.3,1.3,1.2"):
                with self.subTest(mix=mix):
                    self.assert_holds(port, "--tls", mix, *EVERY_STEP)
        self.assertEqual(self.server_log, "")

    def test_one_byte_sends(self):
        with self.server("--max-send", "1") as port:
            for mix in ("1.2", "1.3", "1.2,1.3"):
                with self.subTest(mix=mix):
                    self.assert_holds(port, "--max-send", "1", "--tls", mix, *EVERY_STEP)

    def test_odd_sends(self):
        for size in ("2", "5", "6", "23", "1000"):
            with self.subTest(size=size), self.server("--max-send", size) as port:
                self.assert_holds(port, "--max-send", size, *EVERY_STEP)

    def test_server_limits_the_version(self):
        with self.server("--max-version", "1.2") as port:
            self.assert_holds(port, "starttls:outer.example", "depth:1:TLSv1.2", "quit")
            self.assert_fails(port, "--tls", "1.3", "starttls", because="layer 1")

    def test_client_limits_the_version(self):
        with self.server() as port:
            words = ["starttls", "rstarttls:asker.example", "depth:2:TLSv1.2/TLSv1.2", "quit"]
            self.assert_holds(port, "--max-version", "1.2", *words)

    def test_depth_limit(self):
        with self.server() as port:
            starts = ["starttls"] * 16
            self.assert_holds(
                port, "--tls", "1.3,1.2", *starts, "refused:STARTTLS", "bulk:50000", "quit"
            )

    def test_large_data(self):
        with self.server() as port:
            starts = ["starttls", "starttls", "starttls"]
            self.assert_holds(
                port, "--tls", "1.2,1.3", *starts, "bulk:3000000", "sink:3000000", "quit"
            )

    def test_script_without_quit(self):
        with self.server() as port:
            self.assert_holds(port, "starttls", "starttls", "echo:bye")
        self.assertEqual(self.server_log, "")

    def test_many_connections_at_once(self):
        with self.server() as port:
            with concurrent.futures.ThreadPoolExecutor() as pool:
                runs = [pool.submit(self.assert_holds, port, *EVERY_STEP) for _ in range(4)]
            for run in runs:
                run.result()


class Names(PeerCase):
    """Certificates are picked by SNI and verified by whoever is the TLS client."""

    def test_asker_verifies(self):
        with self.server() as port:
            self.assert_fails(port, "starttls:stranger.example", because="Hostname mismatch")

    def test_answerer_verifies(self):
        with self.server() as port:
            self.assert_fails(port, "rstarttls:stranger.example", because="step rstarttls")
        self.assertIn("Hostname mismatch", self.server_log)

    def test_bad_name_is_refused(self):
        with self.server() as port:
            self.assert_holds(
                port, "refused:STARTTLS a..b", "refused:RSTARTTLS -\x01", "echo:on", "quit"
            )


class SessionCase(PeerCase):
    """Runs the client against a session of this process."""

    @contextlib.contextmanager
    def session(self, kind):
        """A server in this process, for a single connection served by `kind`."""
        versions = VERSIONS["1.2"], VERSIONS["1.3"]
        identity = server_context(self.certificates.identity("localhost"), versions)
        service = Service(identity, client_context(self.certificates.anchors, versions))
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            contextlib.redirect_stderr(io.StringIO()),
        ):

            def serve_one_connection():
                kind(Connection(listener.accept()[0]), service).run()

            thread = threading.Thread(target=serve_one_connection, daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            thread.join()


class Injection(SessionCase):
    """Plaintext behind STARTTLS breaks the handshake. The client notices a kind server."""

    def test_honest_server(self):
        with self.server() as port:
            for depth, text in itertools.product(range(3), ("ECHO injected", "DEPTH", "QUIT", "x")):
                with self.subTest(depth=depth, text=text):
                    self.assert_holds(port, *["starttls"] * depth, f"inject:{text}")

    def test_server_that_keeps_the_line_for_later(self):
        class Keeping(Session):
            def start_tls(self, _):
                below = self.connection.top
                kept, below.inbound = below.inbound, bytearray()
                super().start_tls(b"")
                self.connection.top.inbound += kept

        with self.session(Keeping) as port:
            self.assert_fails(port, "inject:ECHO hi", because="got a finished handshake")

    def test_server_that_answers_in_clear(self):
        class Answering(Session):
            def start_tls(self, _):
                self.answer("OK STARTTLS 1")
                self.serve_one()

        with self.session(Answering) as port:
            self.assert_fails(port, "inject:ECHO hi", because="the peer is speaking plaintext")


class BrokenStops(SessionCase):
    """Each of these servers breaks one rule of stopping; the client must notice."""

    def test_glued_line_lost(self):
        class Swallowing(Session):
            def glue(self, _):
                self.answer("OK GLUE")
                self.connection.stop()

        with self.session(Swallowing) as port:
            self.assert_fails(
                port, "starttls", "glue:x", "--timeout", "2", because="b'GLUED x', got timed out"
            )

    def test_glued_line_inside_the_layer(self):
        class Early(Session):
            def glue(self, text):
                self.answer(b"OK GLUE\r\nGLUED " + text)
                self.connection.stop()

        with self.session(Early) as port:
            self.assert_fails(port, "starttls", "glue:x", because="more bytes inside the layer")

    def test_late_line_answered_further_out(self):
        class Leaking(Session):
            def stop_tls(self, _):
                late = bytes(self.connection.top.inbound)
                super().stop_tls(_)
                self.connection.top.inbound[:0] = late

        with self.session(Leaking) as port:
            self.assert_fails(port, "starttls", "late:x", because="got b'ECHO x")

    def test_late_line_answered_inside_the_layer(self):
        class Eager(Session):
            def stop_tls(self, _):
                self.answer("OK STOPTLS 0")
                self.serve_one()
                self.connection.stop()

        with self.session(Eager) as port:
            self.assert_fails(port, "starttls", "late:x", because="more bytes inside the layer")

    def test_layers_left_open_at_quit(self):
        class Abrupt(Session):
            def quit(self, _):
                self.answer("BYE")
                self.connection.wire.end()
                self.over = True

        with self.session(Abrupt) as port:
            self.assert_fails(port, "starttls", "quit", because="truncated")

    def test_close_notify_ignored(self):
        class Deaf(Session):
            def serve_one(self):
                try:
                    self.commands[self.connection.top.take_line().split()[0]](b"")
                except CloseNotify:
                    self.over = True
                    self.connection.wire.end()

        with self.session(Deaf) as port:
            self.assert_fails(port, "starttls", "unannounced", because="truncated")


class Faults(PeerCase):
    """The client names every fault of the faulty server."""

    def test_every_fault(self):
        cases = {
            "plaintext-after-ok": ("starttls", "the peer is speaking plaintext: b'ECHO '"),
            "garbage-instead-of-close": (
                "starttls stoptls",
                "the peer is speaking plaintext: b'this '",
            ),
            "no-close-notify": ("starttls astoptls", "timed out"),
            "stall-handshake": ("starttls", "timed out"),
            "eof-in-handshake": ("starttls", "truncated by end of the connection"),
            "reset-mid-data": ("bulk:100000", "reset"),
        }
        for fault, (script, because) in cases.items():
            with self.subTest(fault=fault), self.server("--fault", fault, action="faulty") as port:
                words = [*script.split(), "--timeout", "2"]
                self.assert_fails(port, *words, because=because)

    def test_faults_inside_tls(self):
        cases = {
            "no-close-notify": ("starttls stoptls", "timed out"),
            "reset-mid-data": ("starttls bulk:100000", "reset"),
        }
        for fault, (script, because) in cases.items():
            with self.subTest(fault=fault), self.server("--fault", fault, action="faulty") as port:
                self.assert_fails(port, *script.split(), "--timeout", "2", because=because)


class CommandLine(PeerCase):
    """Usage errors end with code 2 and say what to do."""

    def test_usage_errors(self):
        for words, text in (
            (["nosuch"], "the steps are"),
            (["quit", "echo"], "nothing can follow"),
            (["--tls", "1.1", "quit"], "--tls takes"),
        ):
            command = [sys.executable, PEER, "connect", "127.0.0.1", "1", "--ca", "x", *words]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(text, done.stderr)

    def test_nothing_to_stop(self):
        with self.server() as port:
            for stop in ("unannounced", "cross", "halfclose:1", "stoptls", "glue:x", "restart"):
                self.assert_fails(port, stop, because="layer to stop")

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.assert_fails(port, "quit", because="refused")


class Lines(unittest.TestCase):
    """Lines on the wire: endings and the limit."""

    def setUp(self):
        near, far = loopback_pair()
        self.near, self.wire = near, Wire(far)
        self.addCleanup(near.close)
        self.addCleanup(far.close)

    def test_endings(self):
        self.near.sendall(b"one\r\ntwo\nthree\r\r\n\n")
        lines = [self.wire.take_line() for _ in range(4)]
        self.assertEqual(lines, [b"one\r\n", b"two\n", b"three\r\r\n", b"\n"])

    def test_limit(self):
        for ending in (b"\n", b"\r\n"):
            self.near.sendall(b"a" * LINE_LIMIT + ending)
            self.assertEqual(self.wire.take_line(), b"a" * LINE_LIMIT + ending)
            self.near.sendall(
                b"a" * (LINE_LIMIT + 1) + ending + b"a" * 9 * LINE_LIMIT + ending + b"next\n"
            )
            for _ in range(2):
                self.assertRaises(LineTooLong, self.wire.take_line)
            self.assertEqual(self.wire.take_line(), b"next\n")

    def test_unfinished_line(self):
        self.near.sendall(b"ECHO unfini")
        self.near.close()
        self.assertRaises(EndOfFile, self.wire.take_line)

    def test_deadline(self):
        with self.wire.deadline(0.01):
            self.assertRaises(TimeoutError, self.wire.take_line)


class Layers(PeerCase):
    """Two connections in one process, one layer each."""

    def pair(self, version):
        """(asker, answerer), past the handshake of one layer."""
        versions = (VERSIONS[version],) * 2
        near, far = loopback_pair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        asker, answerer = Connection(near), Connection(far)
        identity = server_context(self.certificates.identity("localhost"), versions)
        accept = threading.Thread(
            target=lambda: answerer.splice(answerer.layer(identity, server_side=True))
        )
        accept.start()
        anchors = client_context(self.certificates.anchors, versions)
        asker.splice(asker.layer(anchors, server_side=False, name="localhost"))
        accept.join()
        return asker, answerer

    def test_bytes_behind_close_notify(self):
        """Whatever follows a close_notify in the same segment is of the level below, byte-exact."""
        behinds = (
            b"x",
            b"plain\r\n",
            b"\x17\x03\x03\x00\x05hello",
            b"\x15\x03\x03\x00\x02\x01\x00",
            bytes(70000),
        )
        for version, behind in itertools.product(VERSIONS, behinds):
            with self.subTest(version=version, behind=behind[:20]):
                asker, answerer = self.pair(version)
                with answerer.wire.gathered():
                    answerer.top.send(b"last words")
                    answerer.top.close()
                    answerer.wire.send(behind)
                self.assertEqual(asker.top.take(10), b"last words")
                self.assertEqual(asker.answer_stop(), 0)
                self.assertEqual(asker.depth, 0)
                self.assertEqual(asker.top.take(len(behind)), behind)
                self.assertEqual(answerer.stop(), 0)

    def test_late_data_is_read_after_our_close_notify(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                asker, answerer = self.pair(version)
                asker.top.close()
                answerer.top.send(b"late" * 10000)
                answerer.top.close()
                self.assertEqual(asker.top.take(8), b"latelate")
                self.assertEqual(asker.stop(), 39992)

    def test_both_stop_at_once(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                asker, answerer = self.pair(version)
                asker.top.close()
                answerer.top.close()
                self.assertEqual((asker.stop(), answerer.stop()), (0, 0))
                asker.wire.send(b"clear\n")
                self.assertEqual(answerer.top.take_line(), b"clear\n")

    def test_no_write_behind_our_close_notify(self):
        asker, _ = self.pair("1.3")
        asker.top.close()
        self.assertRaises(AssertionError, asker.top.send, b"x")

    def test_truncation(self):
        asker, answerer = self.pair("1.3")
        answerer.wire.socket.shutdown(socket.SHUT_WR)
        with self.assertRaisesRegex(LayerFailed, "layer 1: truncated"):
            asker.stop()

    def test_tampered_record(self):
        asker, answerer = self.pair("1.3")
        answerer.wire.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        with self.assertRaisesRegex(LayerFailed, "layer 1"):
            asker.top.take(1)

    def test_record_headers_that_are_none(self):
        for header in (
            b"HTTP/",
            b"\x18\x03\x03\x00\x01",
            b"\x17\x02\x03\x00\x01",
            b"\x17\x03\x03\xff\xff",
        ):
            with self.subTest(header=header):
                asker, answerer = self.pair("1.2")
                answerer.wire.send(header)
                self.assertRaises(NotTls, asker.top.take, 1)


class WhatPythonDoes(PeerCase):
    """The behaviour of `ssl` that the peer is built on, or built around."""

    def session(self, version):
        """(client, server, what the server reads from, what the client reads from)"""
        versions = (VERSIONS[version],) * 2
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        identity = server_context(self.certificates.identity("localhost"), versions)
        anchors = client_context(self.certificates.anchors, versions)
        server = identity.wrap_bio(to_server, to_client, server_side=True)
        client = anchors.wrap_bio(to_client, to_server, server_hostname="localhost")
        for side in (client, server) * 3:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return client, server, to_server, to_client

    def test_the_bio_gives_back_what_is_behind_a_close_notify(self):
        for version in VERSIONS:
            client, server, to_server, _ = self.session(version)
            client.write(b"data")
            self.assertRaises(ssl.SSLWantReadError, client.unwrap)
            to_server.write(b"behind \x17\x03\x03\x00\x01x")
            self.assertEqual(server.read(100), b"data")
            self.assertEqual(server.read(100), b"", "an empty read, not SSLZeroReturnError")
            server.unwrap()
            self.assertEqual(to_server.read(), b"behind \x17\x03\x03\x00\x01x")

    def test_after_our_own_close_notify_the_end_is_an_exception(self):
        for version in VERSIONS:
            client, server, _, _ = self.session(version)
            self.assertRaises(ssl.SSLWantReadError, client.unwrap)
            server.write(b"late")
            self.assertEqual(server.read(1), b"")
            server.unwrap()
            self.assertEqual(client.read(100), b"late")
            self.assertRaises(ssl.SSLZeroReturnError, client.read, 100)

    def test_unwrap_with_unread_data_fails_the_session(self):
        for version in VERSIONS:
            client, server, _, _ = self.session(version)
            server.write(b"unread")
            with self.assertRaisesRegex(ssl.SSLError, "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"):
                client.unwrap()


def loopback_pair():
    """Two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


if __name__ == "__main__":
    unittest.main()
