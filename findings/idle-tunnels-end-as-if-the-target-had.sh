#!/usr/bin/env bash
# A tunnel of HTTP/2 in which nothing moves, through HAProxy and through Apache: PING keeps it alive in neither, and when the proxy's
# patience is over, it ends the stream cleanly, as if the target had said all.
#
# Packages: haproxy 2.6.12-1+deb12u4 with liblua5.3-0 5.3.6-2, libopentracing-c-wrapper0 and libopentracing1, and apache2-bin
# 2.4.71-1~deb12u1 with libapr1, libaprutil1 and libnghttp2-14, of Debian 12; h2 4.1.0 from PyPI as the client.
# Guessed: that a PING, which both answer, is a sign of life, since it is what HTTP/2 has for that (RFC 9113, section 6.7); and that
# whoever gives up on a tunnel resets it (section 8.5 has CONNECT_ERROR for a connection to the target that fails), so that an end
# of the stream is the target's.
# Seen (2026-12-01): bytes in the tunnel keep it. With PINGs, with WINDOW_UPDATEs and with empty DATA frames four times in the
# limit it is ended like one in which there is nothing at all: END_STREAM, and behind it a reset, CANCEL (8) from HAProxy and NO_ERROR from Apache.
# Whoever takes END_STREAM for the end of what there was to say has lost the rest without a word; only an end that is said inside
# (close_notify) tells.
#
# Prints a line for each of the ten, and fails if one has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${apache:-}" "${haproxy:-}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .

apt-get --quiet=2 --option APT::Sandbox::User=root download haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
    libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4 apache2-bin=2.4.71-1~deb12u1 \
    libapr1=1.7.2-3+deb12u1 libaprutil1=1.6.3-1+deb12u1 libnghttp2-14=1.52.0-1+deb12u3
for package in *.deb; do dpkg --extract "$package" .; done
python3 -m venv venv
venv/bin/pip install --quiet h2==4.1.0

read -r port front origin < <(python3 -c '
import socket
all_ = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(one.getsockname()[1] for one in all_))')
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
Timeout 2
H2ProxyRequests on
ProxyRequests on
AllowCONNECT 1-65535
<Proxy "*">
Require all granted
</Proxy>
CONF
# HAProxy answers no CONNECT itself: what is behind it does, here the origin.
cat >haproxy.cfg <<CONF
defaults
    mode http
    timeout connect 10s
    timeout client 30s
    timeout server 30s
    timeout tunnel 2s
listen proxy
    bind 127.0.0.1:$front proto h2
    server origin 127.0.0.1:$origin
CONF
touch log && chmod 666 log
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu)
usr/sbin/apache2 -f "$folder/httpd.conf" -DFOREGROUND &
apache=$!
usr/sbin/haproxy -db -f haproxy.cfg 2>/dev/null &
haproxy=$!
unset LD_LIBRARY_PATH

cat >client.py <<'PYTHON'
import socket, sys, threading, time
import h2.config, h2.connection, h2.events

apache, haproxy, origin = map(int, sys.argv[1:])
listener = socket.create_server(("127.0.0.1", origin))


def echo(peer):
    """Says every byte again; a request to connect is granted first."""
    try:
        while heard := peer.recv(4096):
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n" if heard.startswith(b"CONNECT ") else heard)
    except OSError:
        pass


def serve():
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


threading.Thread(target=serve, daemon=True).start()
for port in (apache, haproxy):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)

SIGNS = {
    "nothing": lambda connection: None,
    "PING": lambda connection: connection.ping(b"12345678"),
    "WINDOW_UPDATE": lambda connection: connection.increment_flow_control_window(1, 1),
    "empty DATA": lambda connection: connection.send_data(1, b""),
    "a byte": lambda connection: connection.send_data(1, b"x"),
}


def tunnel(port, sign):
    """What becomes of a tunnel in three times the limit, with such a sign of life every half second."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=0.1)
    # A CONNECT has neither :path nor :scheme, which this version does not know.
    config = h2.config.H2Configuration(validate_outbound_headers=False, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    connection.send_headers(1, [(":method", "CONNECT"), (":authority", f"127.0.0.1:{origin}")])
    begun, shown, seen, answered = time.monotonic(), 0, [], 0
    while time.monotonic() - begun < 6 and len(seen) < 3:
        if seen[:1] == ["200"] and len(seen) == 1 and time.monotonic() - shown > 0.5:
            SIGNS[sign](connection)
            shown = time.monotonic()
        try:
            peer.sendall(connection.data_to_send())
            heard = peer.recv(4096)
        except TimeoutError:
            continue
        for event in connection.receive_data(heard):
            if isinstance(event, h2.events.ResponseReceived):
                seen.append(dict(event.headers)[b":status"].decode())
            elif isinstance(event, h2.events.PingAckReceived):
                answered += 1
            elif isinstance(event, h2.events.StreamEnded):
                seen.append("END_STREAM")
            elif isinstance(event, h2.events.StreamReset):
                seen.append(f"reset {int(event.error_code)}")
    return ", ".join(seen if len(seen) > 1 else seen + ["alive"]) + (", PINGs were answered" if answered else "")


lines = {}


def look(name, port, sign):
    lines[name, sign] = f"{name}, {sign}: {tunnel(port, sign)}"


threads = [
    threading.Thread(target=look, args=(name, port, sign))
    for name, port in (("HAProxy", haproxy), ("Apache", apache))
    for sign in SIGNS
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for name in ("HAProxy", "Apache"):
    for sign in SIGNS:
        print(lines[name, sign])
PYTHON

venv/bin/python client.py "$port" "$front" "$origin" >seen
cat seen
diff - seen <<'SEEN'
HAProxy, nothing: 200, END_STREAM, reset 8
HAProxy, PING: 200, END_STREAM, reset 8, PINGs were answered
HAProxy, WINDOW_UPDATE: 200, END_STREAM, reset 8
HAProxy, empty DATA: 200, END_STREAM, reset 8
HAProxy, a byte: 200, alive
Apache, nothing: 200, END_STREAM, reset 0
Apache, PING: 200, END_STREAM, reset 0, PINGs were answered
Apache, WINDOW_UPDATE: 200, END_STREAM, reset 0
Apache, empty DATA: 200, END_STREAM, reset 0
Apache, a byte: 200, alive
SEEN
