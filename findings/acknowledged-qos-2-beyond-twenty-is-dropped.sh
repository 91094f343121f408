#!/usr/bin/env bash
# MQTT, fifty messages of QoS 2 published at once through a broker that has room for twenty in flight: thirty are acknowledged to the end
# (PUBREC, PUBCOMP) and reach nobody.
#
# Packages: mosquitto 2.0.11-1.2+deb12u2 with libcjson1, libdlt2, libwrap0 and libmosquitto1 of Debian 12 as the broker, in its own
# defaults (max_inflight_messages 20, max_queued_messages 1000); mqtt 5.16.0 (npm) and paho-mqtt 2.2.0 (PyPI) as clients that publish; mqtt
# 5.16.0 as the one that subscribes, with QoS 2; aedes 1.2.0 (npm) as another broker.
# Guessed: that a broker which cannot take a message yet holds its PUBREC back, or queues it, as the option for queued messages says; and that
# PUBCOMP means that it was passed on, which is all that "exactly once" is about.
# Seen (2026-12-01): mqtt publishes all fifty at once, and every one of its fifty callbacks reports success; the subscriber gets the
# first twenty. The log of the broker has no word of it. With QoS 1 all fifty arrive; through aedes all fifty arrive; and from paho, which has
# twenty in flight at most unless told otherwise, all fifty arrive. With twenty-one in flight every twenty-first message is lost.
# So whoever publishes with QoS 2 to a broker that says nothing of a receive maximum (MQTT 3.1.1 has none) keeps to twenty.
#
# Prints a line for each of the five, and fails if one has changed.

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
npm install --silent --no-audit --no-fund mqtt@5.16.0 aedes@1.2.0

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

# Subscribes, has a child publish, and says how many were acknowledged and how many arrived.
cat >count.mjs <<'JAVASCRIPT'
import { spawn } from 'node:child_process';
import mqtt from 'mqtt';

const [port, qos, ...publisher] = process.argv.slice(2);
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 50 });
const arrived = new Set();
let acknowledged = '';
client.on('message', (topic, payload) => {
    if (payload.toString() === 'last') {
        console.log(`${acknowledged.trim()} acknowledged, ${arrived.size} arrived`);
        client.end();
    } else {
        arrived.add(payload.toString());
    }
});
client.once('connect', () => client.subscribe('t', { qos: Number(qos) }, () => {
    const child = spawn(publisher[0], [...publisher.slice(1), port, qos]);
    child.stdout.on('data', (data) => { acknowledged += data; });
    child.stderr.pipe(process.stderr);
    // A message behind all others shows that nothing more comes.
    child.on('close', () => setTimeout(() => client.publish('t', 'last', { qos: 1 }), 500));
}));
JAVASCRIPT

cat >publish.mjs <<'JAVASCRIPT'
import mqtt from 'mqtt';

const [port, qos] = process.argv.slice(2).map(Number);
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`);
client.once('connect', async () => {
    let acknowledged = 0;
    const one = (number) => client.publishAsync('t', `${number}`, { qos }).then(() => { acknowledged += 1; });
    await Promise.all(Array.from({ length: 50 }, (_, number) => one(number)));
    console.log(acknowledged);
    client.end();
});
JAVASCRIPT

cat >publish.py <<'PYTHON'
import sys

import paho.mqtt.client as mqtt

port, qos = map(int, sys.argv[1:])
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", port)
client.loop_start()
sent = [client.publish("t", str(number), qos) for number in range(50)]
for message in sent:
    message.wait_for_publish(20)
print(sum(message.is_published() for message in sent))
client.disconnect()
PYTHON

status=0
check() {
    local name=$1 expected=$2 seen
    shift 2
    seen=$(timeout 60 node count.mjs "$@")
    printf '%-36s %s\n' "$name" "$seen"
    if [[ $seen != "$expected" ]]; then
        echo "  changed: it was $expected"
        status=1
    fi
}

check 'mqtt to mosquitto, QoS 2' '50 acknowledged, 20 arrived' "$first" 2 node publish.mjs
check 'mqtt to mosquitto, QoS 1' '50 acknowledged, 50 arrived' "$first" 1 node publish.mjs
check 'paho to mosquitto, QoS 2' '50 acknowledged, 50 arrived' "$first" 2 venv/bin/python publish.py
check 'mqtt to aedes, QoS 2' '50 acknowledged, 50 arrived' "$second" 2 node publish.mjs
check 'paho to aedes, QoS 2' '50 acknowledged, 50 arrived' "$second" 2 venv/bin/python publish.py
exit $status
