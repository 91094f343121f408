"""Fetches a page over TLS through a tunnel: what to ask the proxy with, proxy, target (both host:port), authority, and a user
and a password if there are some. The page goes to the output."""

import http.client
import socket
import ssl
import sys
from base64 import b64encode

what, proxy, target, authority, *login = sys.argv[1:]
proxy_host, proxy_port = proxy.rsplit(":", 1)
host, port = target.rsplit(":", 1)
patience = 20
context = ssl.create_default_context(cafile=authority)
request = b"GET / HTTP/1.0\r\n\r\n"


def http_client():
    """The tunnel of Python's standard library."""
    client = http.client.HTTPSConnection(proxy_host, int(proxy_port), context=context, timeout=patience)
    headers = {"Proxy-Authorization": "Basic " + b64encode(":".join(login).encode()).decode()} if login else {}
    client.set_tunnel(host, int(port), headers)
    client.request("GET", "/")
    print(client.getresponse().read().decode())


def pysocks(kind):
    """PySocks, which knows HTTP too; the proxy resolves the name."""
    import socks

    stream = socks.socksocket()
    stream.settimeout(patience)
    stream.set_proxy(kind(socks), proxy_host, int(proxy_port), True, *login)
    stream.connect((host, int(port)))
    with context.wrap_socket(stream, server_hostname=host) as inner:
        inner.sendall(request)
        for part in iter(lambda: inner.recv(65536), b""):
            sys.stdout.write(part.decode())


class Tunnels:
    """h2, with one connection to the proxy."""

    def __init__(self, over_tls):
        import h2.config
        import h2.connection
        import h2.events

        self.events = h2.events
        self.socket = socket.create_connection((proxy_host, int(proxy_port)), timeout=patience)
        if over_tls:
            to_proxy = ssl.create_default_context(cafile=authority)
            to_proxy.set_alpn_protocols(["h2"])
            self.socket = to_proxy.wrap_socket(self.socket, server_hostname="localhost")
            assert self.socket.selected_alpn_protocol() == "h2"
        # Of what this version checks it wants a path from CONNECT too, which must have none (RFC 9113, section 8.5).
        config = h2.config.H2Configuration(validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.status, self.received, self.ended = {}, {}, set()
        self.send()

    def send(self):
        self.socket.sendall(self.h2.data_to_send())

    def open(self):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "CONNECT"), (":authority", target)])
        self.send()
        self.status[stream], self.received[stream] = None, b""
        return stream

    def turn(self):
        """Reads once."""
        came = self.socket.recv(65536)
        assert came, "the proxy hung up"
        for event in self.h2.receive_data(came):
            if isinstance(event, self.events.ResponseReceived):
                self.status[event.stream_id] = int(dict(event.headers)[b":status"])
            elif isinstance(event, self.events.DataReceived):
                self.received[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (self.events.StreamEnded, self.events.StreamReset)):
                self.ended.add(event.stream_id)
        self.send()

    def fetch(self, stream):
        """TLS in the tunnel, and the page."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inner = context.wrap_bio(incoming, outgoing, server_hostname=host)

        def until_done(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    self.h2.send_data(stream, outgoing.read()) if outgoing.pending else None
                    self.send()
                    while not self.received[stream]:
                        assert stream not in self.ended, "the tunnel ended"
                        self.turn()
                    incoming.write(self.received[stream])
                    self.received[stream] = b""

        until_done(inner.do_handshake)
        inner.write(request)
        page = b""
        try:
            while part := until_done(lambda: inner.read(65536)):
                page += part
        except ssl.SSLZeroReturnError:
            pass
        return page


def h2(over_tls):
    tunnels = Tunnels(over_tls)
    streams = [tunnels.open(), tunnels.open()]
    while None in tunnels.status.values():
        tunnels.turn()
    print("statuses", *tunnels.status.values())
    if set(tunnels.status.values()) == {200}:
        # The second goes first, while the other is open.
        for stream in reversed(streams):
            print(tunnels.fetch(stream).decode())
            # nghttpx has ended it by now, and Apache waits for us.
            if stream not in tunnels.ended:
                tunnels.h2.end_stream(stream)
                tunnels.send()
            while stream not in tunnels.ended:
                tunnels.turn()
    tunnels.h2.close_connection()
    tunnels.send()


talks = {
    "http.client": http_client,
    "pysocks-socks5": lambda: pysocks(lambda socks: socks.SOCKS5),
    "pysocks-socks4a": lambda: pysocks(lambda socks: socks.SOCKS4),
    "pysocks-http": lambda: pysocks(lambda socks: socks.HTTP),
    "h2": lambda: h2(True),
    "h2c": lambda: h2(False),
}
talks[what]()
print("content")
