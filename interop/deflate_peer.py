"""A peer for compression that shares nothing with us: zlib of Python's standard library.

    python3 deflate_peer.py FLUSH       FLUSH is sync, full or partial

It listens, says on which port, and answers one connection. Lines come and go in raw deflate, each answer flushed:
`ECHO text` is answered with itself, `BULK n` with n bytes; at `STOP` it ends its stream with a final block, waits for
the other's, and goes on in clear with one line each way; at `BYE` it says so and hangs up.
"""

import socket
import sys
import zlib

FLUSHES = {"sync": zlib.Z_SYNC_FLUSH, "full": zlib.Z_FULL_FLUSH, "partial": zlib.Z_PARTIAL_FLUSH}


def main():
    flush = FLUSHES[sys.argv[1]]
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening on", listener.getsockname()[1], flush=True)
    conn, _ = listener.accept()
    conn.settimeout(20)
    packer, unpacker = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)

    def send(data):
        conn.sendall(packer.compress(data) + packer.flush(flush))

    def receive():
        data = conn.recv(4096)
        if not data:
            raise EOFError("the other hung up")
        return unpacker.decompress(data)

    pending = b""
    while True:
        while b"\n" not in pending:
            pending += receive()
        line, pending = pending.split(b"\n", 1)
        word = line.strip().split(b" ")
        if word[0] == b"ECHO":
            send(line + b"\n")
        elif word[0] == b"BULK":
            send(bytes(i * i % 251 for i in range(int(word[1]))))
        elif word[0] == b"BYE":
            send(b"BYE\r\n")
            break
        elif word[0] == b"STOP":
            send(b"STOPPING\r\n")
            conn.sendall(packer.flush(zlib.Z_FINISH))
            while not unpacker.eof:
                pending += receive()
            assert pending == b"", pending
            clear = unpacker.unused_data
            while b"\n" not in clear:
                clear += conn.recv(4096)
            conn.sendall(b"CLEAR " + clear)
            break
    conn.close()


main()
