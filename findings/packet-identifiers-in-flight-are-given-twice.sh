#!/usr/bin/env bash
# MQTT, a message of QoS 1 that waits for its acknowledgement while 65,534 others come and go: of five senders three give its packet
# identifier to the next message, one refuses to send that one, and one steps over the identifier.
#
# Packages: mosquitto 2.0.11-1.2+deb12u2 with libcjson1, libdlt2, libwrap0 and libmosquitto1 of Debian 12, aedes 1.2.0 (npm) as brokers that
# send to a subscriber; mqtt 5.16.0 (npm), paho-mqtt 2.2.0 and gmqtt 0.8.0 (PyPI) as clients that publish.
# Guessed: that everybody takes an identifier that is free, since section 2.3.1 of MQTT 3.1.1 demands a "currently unused" one and
# since each of them keeps a table of what is in flight for its redelivery.
# Seen (2026-12-01): mosquitto, aedes and mqtt count on to the same number: two different messages in flight with one identifier,
# the second without DUP. The one acknowledgement that names it settles the first in both brokers: behind a new connection the
# second is delivered again. paho answers publish() number 65,536 with rc 15 (MQTT_ERR_QUEUE_SIZE) although one message is in
# flight, and never sends that one; number 65,537 goes out. gmqtt steps over the identifier (and over 65,535, which it never gives).
# So a receiver that keeps its acknowledgements back for long cannot tell two messages from one by their identifier, and whoever
# publishes for long has to look at what publish() returns.
#
# Prints a line for each of the five, and fails if one has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${mosquitto:-}" "${aedes:-}" "${broker:-}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .

apt-get --quiet=2 --option APT::Sandbox::User=root download mosquitto=2.0.11-1.2+deb12u2 libmosquitto1=2.0.11-1.2+deb12u2 \
    libcjson1=1.7.15-1+deb12u4 libdlt2=2.18.8-6 libwrap0=7.6.q-32
for package in *.deb; do dpkg --extract "$package" .; done
python3 -m venv venv
venv/bin/pip install --quiet paho-mqtt==2.2.0 gmqtt==0.8.0
npm install --silent --no-audit --no-fund mqtt@5.16.0 aedes@1.2.0

cat >wire.py <<'PYTHON'
"""As much of MQTT 3.1.1 as both of our ends need."""
import socket


class Wire:
    def __init__(self, connection):
        self.connection, self.buffer = connection, bytearray()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, first, body=b""):
        length, digits = len(body), bytearray()
        while length > 127:
            digits.append(length & 127 | 128)
            length >>= 7
        self.connection.sendall(bytes([first, *digits, length]) + body)

    def receive(self):
        """The first byte of a packet and what is behind its length; None behind the last."""
        while True:
            length = shift = 0
            for position, digit in enumerate(self.buffer[1:5], 2):
                length |= (digit & 127) << shift
                shift += 7
                if digit < 128:
                    if len(self.buffer) < position + length:
                        break
                    first, body = self.buffer[0], bytes(self.buffer[position:position + length])
                    del self.buffer[:position + length]
                    return first, body
            data = self.connection.recv(65536)
            if not data:
                return None
            self.buffer += data


def text(value):
    return len(value).to_bytes(2, "big") + value.encode()


def published(body):
    """The identifier and the payload of a PUBLISH of QoS 1."""
    start = 2 + int.from_bytes(body[:2], "big")
    return int.from_bytes(body[start:start + 2], "big"), body[start + 2:].decode()
PYTHON

# The broker for the clients: it acknowledges all but the first.
cat >broker.py <<'PYTHON'
import socket
from wire import Wire, published

server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
wire = Wire(server.accept()[0])
held, before = None, None
while (packet := wire.receive()) is not None:
    first, body = packet
    if first >> 4 == 1:
        wire.send(0x20, b"\0\0")
    elif first >> 4 == 12:
        wire.send(0xD0)
    elif first >> 4 == 3:
        identifier, payload = published(body)
        number = int(payload)
        if held is None:
            held = identifier
        elif identifier == held:
            print(f"message {number} {'again' if first & 8 else 'has the identifier of message 1'}", flush=True)
            break
        elif number != before + 1:
            print(f"message {before + 1} is not sent", flush=True)
            break
        elif (identifier - held) % 65536 == 1 and number > 2:
            print(f"message {number} has the identifier behind it", flush=True)
            break
        else:
            wire.send(0x40, identifier.to_bytes(2, "big"))
        before = number
wire.connection.close()
PYTHON

# The publisher and the subscriber for the brokers. The subscriber acknowledges all but the first until its identifier comes again.
cat >subscriber.py <<'PYTHON'
import socket, sys
from wire import Wire, published, text


def client(name, clean):
    wire = Wire(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    wire.send(0x10, text("MQTT") + bytes([4, 2 * clean, 0, 0]) + text(name))
    assert wire.receive()[0] == 0x20
    return wire


subscriber, publisher = client("subscriber", False), client("publisher", True)
subscriber.send(0x82, b"\0\1" + text("t") + b"\1")
assert subscriber.receive()[0] == 0x90
held = None
for number in range(1, 66_000):
    publisher.send(0x32, text("t") + ((number - 1) % 65535 + 1).to_bytes(2, "big") + b"%d" % number)
    first, body = subscriber.receive()
    identifier, payload = published(body)
    assert first == 0x32 and payload == str(number), "each once, in order, none as DUP"
    if held is None:
        held = identifier
    elif identifier == held:
        break
    else:
        subscriber.send(0x40, identifier.to_bytes(2, "big"))
    assert publisher.receive()[0] == 0x40
else:
    sys.exit("its identifier is never given to another")

subscriber.send(0x40, held.to_bytes(2, "big"))
subscriber.send(0xC0)
assert subscriber.receive()[0] == 0xD0, "the acknowledgement has been read"
subscriber.connection.close()
subscriber = client("subscriber", False)
first, body = subscriber.receive()
again = published(body)
assert again[0] == held
subscriber.send(0x40, held.to_bytes(2, "big"))
subscriber.send(0xC0)
assert subscriber.receive()[0] == 0xD0, "nothing else is delivered again"
print(f"message {number} has the identifier of message 1; behind a new connection comes message {again[1]}"
      f" {'with' if first & 8 else 'without'} DUP")
PYTHON

cat >aedes.js <<'JAVASCRIPT'
const { Aedes } = require("aedes");
Aedes.createBroker().then((broker) => {
    const server = require("net").createServer(broker.handle);
    server.listen(0, "127.0.0.1", () => console.log(server.address().port));
});
JAVASCRIPT

# Each publishes 1 and does not wait for it, then each number when the one before it is settled.
cat >mqtt.js <<'JAVASCRIPT'
const client = require("mqtt").connect({ host: "127.0.0.1", port: +process.argv[2], reconnectPeriod: 0 });
let number = 0;
const next = () => client.publish("t", String(++number), { qos: 1 }, number === 1 ? undefined : next);
client.on("connect", () => { next(); next(); });
client.on("close", () => process.exit());
JAVASCRIPT

cat >paho_client.py <<'PYTHON'
import sys, threading
from paho.mqtt.client import CallbackAPIVersion, Client

client, connected, gone = Client(CallbackAPIVersion.VERSION2), threading.Event(), threading.Event()
client.on_connect = lambda *_: connected.set()
client.on_disconnect = lambda *_: gone.set()
client.reconnect_delay_set(600, 600)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
assert connected.wait(10)
number = 0
while not gone.is_set():
    number += 1
    message = client.publish("t", str(number), qos=1)
    if message.rc:
        print(f", rc {int(message.rc)}", end="", flush=True)
    elif number > 1:
        message.wait_for_publish(1)
PYTHON

cat >gmqtt_client.py <<'PYTHON'
import asyncio, sys
from gmqtt import Client
from gmqtt.mqtt.constants import MQTTv311


async def main():
    client, gone = Client("a"), asyncio.Event()
    client.on_disconnect = lambda *_, **__: gone.set()
    client.set_config({"reconnect_retries": 0})
    await client.connect("127.0.0.1", int(sys.argv[1]), version=MQTTv311)
    number = 0
    while not gone.is_set():
        number += 1
        client.publish("t", str(number), qos=1)
        if number % 50 == 0:
            await asyncio.sleep(0)


asyncio.run(main())
PYTHON

# port FILE: the first line of what a server writes, as soon as it is there.
port() {
    until [[ -s $1 ]]; do sleep 0.05; done
    head -n 1 "$1"
}

publishes() {
    venv/bin/python broker.py >broker.out &
    broker=$!
    local returned
    returned=$("$@" "$(port broker.out)" 2>log || true)
    wait "$broker"
    tail -n +2 broker.out | tr -d '\n'
    echo "$returned"
    rm broker.out
}

# One that the system gives to nobody who asks for any.
reserved=$((20000 + RANDOM % 10000))
printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser root\n' "$reserved" >mosquitto.conf
LD_LIBRARY_PATH=usr/lib/$(uname -m)-linux-gnu usr/sbin/mosquitto -c mosquitto.conf 2>mosquitto.log &
mosquitto=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$reserved") 2>/dev/null; do sleep 0.05; done
node aedes.js >aedes.out &
aedes=$!

seen=$(
    echo "mosquitto: $(venv/bin/python subscriber.py "$reserved")"
    echo "aedes: $(venv/bin/python subscriber.py "$(port aedes.out)")"
    echo "mqtt: $(publishes node mqtt.js)"
    echo "paho: $(publishes venv/bin/python paho_client.py)"
    echo "gmqtt: $(publishes venv/bin/python gmqtt_client.py)"
)
echo "$seen"
diff <(cat <<'EXPECTED'
mosquitto: message 65536 has the identifier of message 1; behind a new connection comes message 65536 with DUP
aedes: message 65536 has the identifier of message 1; behind a new connection comes message 65536 without DUP
mqtt: message 65536 has the identifier of message 1
paho: message 65536 is not sent, rc 15
gmqtt: message 65535 has the identifier behind it
EXPECTED
) <(echo "$seen") && echo 'as it was seen'
