#!/usr/bin/env python3
"""An independent peer for the onion line protocol: server, checking client, and faulty server.

This file is the command line. How the peer works, and the rules by which a layer starts and
stops, stand at the head of the package `peer`.
"""

import argparse
import itertools
import os
import signal
import socket
import ssl
import sys

from peer.client import LAST_STEPS, STEPS, Client
from peer.connection import Connection
from peer.faulty import FAULTS, FaultySession
from peer.server import Service, Session, serve


def server_context(identity, versions, names=()):
    """A TLS server with the certificate `identity`, and for each of `names` another, by SNI."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = versions
    context.load_cert_chain(*identity)
    others = {name: server_context(other, versions) for name, other in names}

    def choose(tls, name, _):
        tls.context = others.get(name, context)

    context.sni_callback = choose
    return context


def client_context(anchors, versions):
    """A TLS client that verifies the chain against `anchors` and the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.maximum_version = versions
    context.load_verify_locations(anchors)
    return context


def run_server(arguments):
    versions = VERSIONS["1.2"], VERSIONS[arguments.max_version]
    service = Service(
        identity=server_context((arguments.cert, arguments.key), versions, arguments.name),
        anchors=client_context(arguments.ca, versions) if arguments.ca else None,
    )

    def run_session(connected):
        connection = Connection(connected, arguments.max_send)
        if arguments.action == "faulty":
            FaultySession(connection, service, arguments.fault).run()
        else:
            Session(connection, service).run()

    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    serve(socket.create_server(("127.0.0.1", arguments.port)), run_session)


def run_client(arguments):
    highest = VERSIONS[arguments.max_version]
    pinned = [(VERSIONS[version],) * 2 for version in arguments.tls]
    versions = itertools.cycle(pinned or [(VERSIONS["1.2"], highest)])
    connected = socket.create_connection((arguments.host, arguments.port), arguments.timeout)
    client = Client(
        Connection(connected, arguments.max_send),
        new_server_context=lambda: server_context((arguments.cert, arguments.key), next(versions)),
        new_client_context=lambda: client_context(arguments.ca, next(versions)),
    )
    client.run(arguments.script, arguments.timeout)
    print(f"all {len(arguments.script)} steps hold")


def parse(words):
    parser = argparse.ArgumentParser(description="a peer for the onion line protocol")
    actions = parser.add_subparsers(dest="action", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--max-version", choices=VERSIONS, default="1.3", help="highest version")
    common.add_argument("--max-send", type=positive, metavar="N", help="send in pieces of N bytes")
    common.add_argument("--cert", metavar="PEM", help="certificate chain for the TLS server role")
    common.add_argument("--key", metavar="PEM", help="its private key")
    common.add_argument("--ca", metavar="PEM", help="trust anchors for the TLS client role")

    for action, text in (("serve", "serve every connection"), ("faulty", "serve with one fault")):
        server = actions.add_parser(action, parents=[common], help=text)
        server.add_argument("--port", type=int, default=0, help="0 picks a free one")
        server.add_argument(
            "--name", type=named_identity, action="append", default=[],
            metavar="NAME=CERT,KEY", help="another certificate, chosen by SNI",
        )  # fmt: skip
        server.set_defaults(run=run_server)
    server.add_argument("--fault", choices=FAULTS, required=True)

    client = actions.add_parser(
        "connect", parents=[common], help="run a script of steps and check every answer",
        epilog="steps, each `name` or `name:argument`: " + " ".join(STEPS),
    )  # fmt: skip
    client.add_argument("host")
    client.add_argument("port", type=int)
    client.add_argument("script", type=step, nargs="+", metavar="STEP")
    client.add_argument(
        "--tls", type=lambda text: text.split(","), default=[], metavar="1.2,1.3,...",
        help="the one version of each layer, in order of starts; used again from the front",
    )  # fmt: skip
    client.add_argument("--timeout", type=float, default=30, help="seconds for each step")
    client.set_defaults(run=run_client)

    arguments = parser.parse_args(words)
    if arguments.action == "connect":
        steps = [name for name, _ in arguments.script]
        if LAST_STEPS.intersection(steps[:-1]):
            client.error("inject and quit end the connection: nothing can follow")
        if not arguments.ca:
            client.error("--ca is required")
        if "rstarttls" in steps and not (arguments.cert and arguments.key):
            client.error("rstarttls needs --cert and --key")
        if not VERSIONS.keys() >= set(arguments.tls):
            client.error("--tls takes 1.2 and 1.3, separated by commas")
    elif not (arguments.cert and arguments.key):
        parser.error("a server needs --cert and --key")
    return arguments


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError("not positive")
    return value


def named_identity(text):
    """`NAME=CERT,KEY`"""
    name, _, files = text.partition("=")
    cert, _, key = files.partition(",")
    if not (name and cert and key):
        raise argparse.ArgumentTypeError("write NAME=CERT,KEY")
    return name, (cert, key)


def step(text):
    """`step` or `step:argument`; the argument keeps its colons and need not be UTF-8."""
    name, _, argument = text.partition(":")
    if name not in STEPS:
        raise argparse.ArgumentTypeError(f"no step {name!r}; the steps are {' '.join(STEPS)}")
    return name, os.fsencode(argument)


VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def main():
    arguments = parse(sys.argv[1:])
    try:
        arguments.run(arguments)
    except OSError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
