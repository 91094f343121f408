"""TLS inside TLS with asyncio's streams: one side of one cell of the comparing bench.

    python3 nested.py server|client KIND DEPTH AMOUNT WARM_UP CONNECTIONS PORT FOLDER

A server prints its port first. Both print their report, a line of JSON, at the end.
`benches/compare/side/work.rs` says what each kind of work is.
"""

import asyncio
import json
import socket
import ssl
import sys
import time

CHUNK = 64 * 1024
MESSAGE = 64
ECHO = 16 * 1024


class Meter:
    """Begins when the last connection is warm, and ends when the last one is done."""

    def __init__(self, connections):
        self.to_warm = self.to_do = connections

    def warm(self):
        self.to_warm -= 1
        if self.to_warm == 0:
            self.begin()

    def begin(self):
        self.begun = time.perf_counter(), time.process_time()

    def done(self):
        self.to_do -= 1
        if self.to_do == 0:
            self.ended = time.perf_counter(), time.process_time()

    def report(self):
        return {"wall": self.ended[0] - self.begun[0], "cpu": self.ended[1] - self.begun[1]}


class Stream:
    """A connection, with as many layers as were started."""

    def __init__(self, side, reader, writer):
        self.side, self.reader, self.writer = side, reader, writer
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def start_layers(self):
        for _ in range(self.side.depth):
            if self.side.is_server:
                await self.write(b"\1")
                await self.writer.start_tls(self.side.context)
            else:
                await self.reader.readexactly(1)
                await self.writer.start_tls(self.side.context, server_hostname="localhost")
            cipher, version, _ = self.writer.get_extra_info("ssl_object").cipher()
            if (cipher, version) != ("TLS_AES_128_GCM_SHA256", "TLSv1.3"):
                raise RuntimeError(f"agreed on {version} {cipher}")

    async def write(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, amount):
        chunk = b"." * CHUNK
        while amount > 0:
            await self.write(chunk if amount >= CHUNK else chunk[:amount])
            amount -= CHUNK

    async def receive(self, amount):
        while amount > 0:
            data = await self.reader.read(min(amount, CHUNK))
            if not data:
                raise EOFError("the peer ended too early")
            amount -= len(data)

    async def serve_part(self, amount, before_last):
        kind = self.side.kind
        if kind == "bulk":
            await self.receive(amount)
        elif kind == "both":
            await asyncio.gather(self.receive(amount), self.send(amount))
        else:
            for left in range(amount, 0, -1):
                message = await self.reader.readexactly(MESSAGE)
                if left == 1:
                    before_last()
                await self.write(message)
            return
        before_last()
        await self.write(b"\1")

    async def ask_part(self, amount):
        kind = self.side.kind
        if kind == "bulk":
            await self.send(amount)
        elif kind == "both":
            await asyncio.gather(self.receive(amount), self.send(amount))
        else:
            message = b"." * MESSAGE
            for _ in range(amount):
                await self.write(message)
                await self.reader.readexactly(MESSAGE)
            return
        await self.reader.readexactly(1)

    async def until_end(self):
        try:
            while await self.reader.read(MESSAGE):
                pass
        except OSError:
            pass
        self.writer.close()


class Side:
    def __init__(self, role, kind, depth, amount, warm_up, connections, port, folder):
        self.is_server = role == "server"
        self.kind, self.depth = kind, int(depth)
        self.amount, self.warm_up, self.connections = int(amount), int(warm_up), int(connections)
        self.port = int(port)
        if self.is_server:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(folder + "/certificate.pem", folder + "/key.pem")
            self.context.num_tickets = 0
        else:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.context.load_verify_locations(folder + "/certificate.pem")
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3

    async def run(self):
        if self.kind in ("bulk", "both", "ask", "ask100"):
            work = self.serve if self.is_server else self.ask
        elif self.kind in ("stack4", "handshake"):
            work = self.serve_handshakes if self.is_server else self.ask_handshakes
        elif self.kind == "memory" and self.is_server:
            work = self.serve_memory
        else:
            raise NotImplementedError(f"no {self.kind} here")
        print(json.dumps(await work()), flush=True)

    async def listen(self, on_connection):
        async def guarded(reader, writer):
            try:
                await on_connection(reader, writer)
            except Exception as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                ended.cancel()

        server = await asyncio.start_server(guarded, "127.0.0.1", 0, limit=CHUNK, backlog=1024)
        ended = asyncio.current_task()
        print(server.sockets[0].getsockname()[1], flush=True)
        return server

    async def connect(self):
        return Stream(self, *await asyncio.open_connection("127.0.0.1", self.port, limit=CHUNK))

    async def serve(self):
        meter, left, all_done = Meter(self.connections), self.connections, asyncio.Event()

        async def serve_one(reader, writer):
            nonlocal left
            stream = Stream(self, reader, writer)
            await stream.start_layers()
            await stream.serve_part(self.warm_up, meter.warm)
            await stream.serve_part(self.amount, meter.done)
            # Until the client has the last answer, it may still be on its way down.
            await stream.until_end()
            left -= 1
            if left == 0:
                all_done.set()

        async with await self.listen(serve_one):
            await all_done.wait()
            return meter.report()

    async def ask(self):
        async def prepare():
            stream = await self.connect()
            await stream.start_layers()
            await stream.ask_part(self.warm_up)
            return stream

        async def work(stream):
            await stream.ask_part(self.amount)
            meter.done()

        meter = Meter(self.connections)
        streams = await asyncio.gather(*(prepare() for _ in range(self.connections)))
        meter.begin()
        await asyncio.gather(*(work(stream) for stream in streams))
        return meter.report()

    async def serve_handshakes(self):
        meter, left, all_done = Meter(1), self.warm_up + self.amount, asyncio.Event()

        async def serve_one(reader, writer):
            nonlocal left
            if left == self.amount:
                meter.begin()
            stream = Stream(self, reader, writer)
            await stream.start_layers()
            await stream.write(await reader.readexactly(MESSAGE))
            await stream.until_end()
            left -= 1
            if left == 0:
                meter.done()
                all_done.set()

        async with await self.listen(serve_one):
            await all_done.wait()
            return meter.report()

    async def ask_handshakes(self):
        meter, until_up = Meter(1), 0
        for number in range(self.warm_up + self.amount):
            if number == self.warm_up:
                meter.begin()
                until_up = 0
            begun = time.perf_counter()
            stream = await self.connect()
            await stream.start_layers()
            await stream.write(b"." * MESSAGE)
            await stream.reader.readexactly(MESSAGE)
            until_up += time.perf_counter() - begun
            stream.writer.close()
        meter.done()
        report = meter.report()
        return {**report, "wall": until_up} if self.kind == "stack4" else report

    async def serve_memory(self):
        looks, all_done, is_first = [], asyncio.Event(), True

        async def serve_one(reader, writer):
            nonlocal is_first
            if is_first:
                is_first = False
                while await reader.read(1):
                    looks.append(resident())
                    writer.write(b"\1")
                    if len(looks) == 2:
                        all_done.set()
                return
            stream = Stream(self, reader, writer)
            await stream.start_layers()
            await stream.write(await reader.readexactly(ECHO))
            await stream.until_end()

        async with await self.listen(serve_one):
            await all_done.wait()
            return {"wall": 0, "cpu": 0, "resident": looks}


def resident():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024


asyncio.run(Side(*sys.argv[1:]).run())
