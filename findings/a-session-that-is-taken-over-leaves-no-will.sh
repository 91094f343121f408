#!/usr/bin/env bash
# MQTT, a client that is lost because another one with its name connects: whether its will is said depends on whether both keep their
# session. If both do, nobody ever hears of the loss.
#
# Packages: mosquitto 2.0.11-1.2+deb12u2 with libcjson1, libdlt2, libwrap0 and libmosquitto1 of Debian 12, aedes 1.2.0 (npm) as brokers;
# paho-mqtt 2.2.0 (PyPI) as all clients, MQTT 3.1.1.
# Guessed: that a will is said whenever the connection ends without DISCONNECT, which section 3.1.2.5 of MQTT 3.1.1 demands, and which both
# brokers do for a connection that is reset, whatever its session is. Only MQTT 5 knows of a will that waits for the end of the session.
# Seen (2026-12-01): mosquitto closes the old connection in all four cases, and says its will if one of the two clients has asked for a
# clean session. If both have asked for none, it is dropped, and does not come when the second client leaves either. aedes says it in all four.
# So a device that is replaced by its twin, as after a restart of its program, goes unnoticed by who watches its will; and only with the setting that is
# recommended for devices.
#
# Prints a line for each broker and pair of sessions, and fails if one has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${mosquitto:-}" "${aedes:-}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .

apt-get --quiet=2 --option APT::Sandbox::User=root download mosquitto=2.0.11-1.2+deb12u2 libmosquitto1=2.0.11-1.2+deb12u2 \
    libcjson1=1.7.15-1+deb12u4 libdlt2=2.18.8-6 libwrap0=7.6.q-32
for package in *.deb; do dpkg --extract "$package" .; done
python3 -m venv venv
venv/bin/pip install --quiet paho-mqtt==2.2.0
npm install --silent --no-audit --no-fund aedes@1.2.0

read -r first second < <(python3 - <<'PYTHON'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))
PYTHON
)

printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser root\n' "$first" >mosquitto.conf
LD_LIBRARY_PATH=$(dirname "$(find "$folder/usr" -name 'libmosquitto.so.1')"):$(find "$folder" -name 'libwrap.so.0' -printf '%h\n' | head -1) \
    usr/sbin/mosquitto -c mosquitto.conf >mosquitto.log 2>&1 &
mosquitto=$!

cat >broker.mjs <<'JAVASCRIPT'
import { createServer } from 'node:net';
import { Aedes } from 'aedes';

const aedes = await Aedes.createBroker();
createServer(aedes.handle).listen(Number(process.argv[2]), '127.0.0.1');
JAVASCRIPT
node broker.mjs "$second" >aedes.log 2>&1 &
aedes=$!

cat >takeover.py <<'PYTHON'
import queue
import sys
import time

import paho.mqtt.client as mqtt

port = int(sys.argv[1])


def client(name, clean, will=None):
    """A connected client, which does not come back by itself."""
    one = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, clean_session=clean, reconnect_on_failure=False)
    if will:
        one.will_set("wills", will, qos=1)
    ready = queue.Queue()
    one.on_connect = lambda *_: ready.put(True)
    for attempt in range(100):
        try:
            one.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.1)
    one.loop_start()
    ready.get(timeout=20)
    return one


heard, subscribed = queue.Queue(), queue.Queue()
witness = client("witness", True)
witness.on_message = lambda _client, _data, message: heard.put(message.payload.decode())
witness.on_subscribe = lambda *_: subscribed.put(True)
witness.subscribe("wills", 1)
subscribed.get(timeout=20)
for clean_first in (True, False):
    for clean_second in (True, False):
        name = f"twin-{clean_first}-{clean_second}"
        first = client(name, clean_first, "lost")
        second = client(name, clean_second)
        # A message behind it shows that nothing more comes; it is said twice, so that a broker may take its time.
        for last in ("behind", "far behind"):
            time.sleep(0.5)
            witness.publish("wills", last, 1)
        said = []
        while not said or said[-1] != "far behind":
            said.append(heard.get(timeout=20))
        kinds = ["clean" if clean else "kept" for clean in (clean_first, clean_second)]
        print(f"{kinds[0]} then {kinds[1]}: {'said' if 'lost' in said else 'silent'}", flush=True)
        for one in (first, second):
            one.disconnect()
            one.loop_stop()
witness.disconnect()
PYTHON

status=0
check() {
    local name=$1 port=$2 expected=$3 seen
    seen=$(timeout 120 venv/bin/python takeover.py "$port" | paste -sd ',' | sed 's/,/, /g')
    printf '%-10s %s\n' "$name" "$seen"
    if [[ $seen != "$expected" ]]; then
        echo "  changed: it was $expected"
        status=1
    fi
}

check mosquitto "$first" 'clean then clean: said, clean then kept: said, kept then clean: said, kept then kept: silent'
check aedes "$second" 'clean then clean: said, clean then kept: said, kept then clean: said, kept then kept: said'
exit $status
