#!/usr/bin/env bash
# An origin that says all and closes, behind CONNECT of HTTP/2 at Apache: all bytes come, and their end does not.
#
# Packages: apache2-bin 2.4.71-1~deb12u1 with libapr1, libaprutil1 and libnghttp2-14 of Debian 12; h2 4.1.0 from PyPI as the client.
# Guessed: what CONNECT of HTTP/1.1 does at the same Apache, which passes the FIN of the origin on. RFC 9113, section 8.5: a proxy
# that receives a FIN from the target sends DATA with END_STREAM.
# Seen (2026-12-01): over HTTP/1.1 the end of file is there with the last byte. Over HTTP/2 the bytes are there at once, and
# no END_STREAM within three seconds (nor in twenty); it comes as soon as the client has ended its own direction. So whoever
# reads to the end before it closes, as with any body that ends with its connection, waits until Apache's Timeout.
#
# Prints a line for each of the three, and fails if one has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${apache:-}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .

apt-get --quiet=2 --option APT::Sandbox::User=root download apache2-bin=2.4.71-1~deb12u1 \
    libapr1=1.7.2-3+deb12u1 libaprutil1=1.6.3-1+deb12u1 libnghttp2-14=1.52.0-1+deb12u3
for package in *.deb; do dpkg --extract "$package" .; done
python3 -m venv venv
venv/bin/pip install --quiet h2==4.1.0

read -r port origin < <(python3 -c '
import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in both))')
for module in mpm_event authz_core proxy proxy_connect http2; do
    echo "LoadModule ${module}_module $folder/usr/lib/apache2/modules/mod_$module.so"
done >httpd.conf
cat >>httpd.conf <<CONF
ServerRoot $folder
ServerName proxy.test
User nobody
Group nogroup
DefaultRuntimeDir $folder
PidFile $folder/pid
ErrorLog $folder/log
Listen 127.0.0.1:$port
Protocols h2c http/1.1
H2ProxyRequests on
ProxyRequests on
AllowCONNECT 1-65535
<Proxy "*">
Require all granted
</Proxy>
CONF
touch log && chmod 666 log
LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu) usr/sbin/apache2 -f "$folder/httpd.conf" -DFOREGROUND &
apache=$!

cat >client.py <<'PYTHON'
import socket, sys, threading, time
import h2.config, h2.connection, h2.events

proxy, origin = int(sys.argv[1]), int(sys.argv[2])
listener = socket.create_server(("127.0.0.1", origin))


def serve():
    while True:
        socket_, _ = listener.accept()
        socket_.sendall(b"all of it")
        socket_.close()


threading.Thread(target=serve, daemon=True).start()
for _ in range(100):
    try:
        socket.create_connection(("127.0.0.1", proxy)).close()
        break
    except ConnectionRefusedError:
        time.sleep(0.1)


def http1():
    peer = socket.create_connection(("127.0.0.1", proxy), timeout=3)
    peer.sendall(f"CONNECT 127.0.0.1:{origin} HTTP/1.1\r\nHost: 127.0.0.1:{origin}\r\n\r\n".encode())
    heard = b""
    try:
        while more := peer.recv(4096):
            heard += more
    except TimeoutError:
        return heard.partition(b"\r\n\r\n")[2], False
    return heard.partition(b"\r\n\r\n")[2], True


def http2(ends_first):
    peer = socket.create_connection(("127.0.0.1", proxy), timeout=3)
    # A CONNECT has neither :path nor :scheme, which this version does not know.
    config = h2.config.H2Configuration(validate_outbound_headers=False, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    connection.send_headers(1, [(":method", "CONNECT"), (":authority", f"127.0.0.1:{origin}")])
    heard, has_ended = b"", False
    while True:
        peer.sendall(connection.data_to_send())
        try:
            bytes_ = peer.recv(4096)
        except TimeoutError:
            return heard, False
        for event in connection.receive_data(bytes_) if bytes_ else [h2.events.ConnectionTerminated()]:
            if isinstance(event, h2.events.DataReceived):
                heard += event.data
                if ends_first and not has_ended:
                    connection.end_stream(1)
                    has_ended = True
            elif isinstance(event, h2.events.StreamEnded):
                return heard, True
            elif isinstance(event, (h2.events.ConnectionTerminated, h2.events.StreamReset)):
                return heard, type(event).__name__


for name, (heard, ended) in [
    ("HTTP/1.1", http1()),
    ("HTTP/2, the client has ended", http2(True)),
    ("HTTP/2", http2(False)),
]:
    print(f"{name}: {heard.decode()!r}, and its end: {ended}")
PYTHON

venv/bin/python client.py "$port" "$origin" >seen
cat seen
diff - seen <<'SEEN'
HTTP/1.1: 'all of it', and its end: True
HTTP/2, the client has ended: 'all of it', and its end: True
HTTP/2: 'all of it', and its end: False
SEEN
