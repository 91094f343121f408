"""A server of WebSocket with the library `websockets`: says again what it hears, and does what it is told by text.

    ws_server.py PORT CERTIFICATE KEY

PORT 0 is a free one. With a certificate it is TLS. It says where it listens, and then each thing that it did.
"""

import asyncio
import ssl
import sys

import websockets


async def serve(socket, path):
    print("opened", path, socket.subprotocol, socket.request_headers.get("X-Serial"), flush=True)
    try:
        async for message in socket:
            if message == "close":
                await socket.close(1001, "going away")
            elif message == "drop":
                socket.transport.abort()
            elif message == "ping":
                await (await socket.ping(b"are you there"))
                await socket.send("pong")
            elif message == "pieces":
                await socket.send(iter(["in ", "", "three ", "pieces"]))
            else:
                await socket.send(message)
    finally:
        await socket.wait_closed()
        print("closed", socket.close_code, socket.close_reason, flush=True)


async def main():
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[2], sys.argv[3])
    async with websockets.serve(
        serve,
        "127.0.0.1",
        int(sys.argv[1]),
        ssl=tls,
        subprotocols=["onion.v1"],
        max_size=16 << 20,
    ) as server:
        print("listening on", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
