#!/usr/bin/env bash
# How HTTPS clients end a connection that was used and is idle: with close_notify, or with the FIN of TCP alone.
#
# Packages: requests 2.34.2 (urllib3 2.8.0), httpx 0.28.1 (httpcore 1.0.9, anyio 4.16.0), aiohttp 3.14.5, tornado 6.6.1,
# niquests 3.21.2, pycurl 7.49.0 from PyPI, undici 7.16.0 from npm; the http.client, asyncio and https of the Python (3.11) and
# Node (20) that are there.
# Guessed: all send close_notify, as RFC 8446 section 6.1 demands of each side before it closes its write side; at least those that sit on
# asyncio, whose transport sends one in close().
# Seen (2026-11-30): pycurl alone does, of nine. aiohttp, httpx and tornado end with a bare FIN although the asyncio
# below them does not (`asyncio` is that control); Node's https too. So a server that takes a FIN
# without close_notify for an attack takes nearly every client for one.
#
# Prints a line for each client, and fails if one of them has changed.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip --quiet install requests==2.34.2 urllib3==2.8.0 httpx==0.28.1 httpcore==1.0.9 anyio==4.16.0 \
    aiohttp==3.14.5 tornado==6.6.1 niquests==3.21.2 pycurl==7.49.0 trustme==1.2.1
npm --silent --no-fund --no-audit install undici@7.16.0 >/dev/null

cat >clients.mjs <<'JS'
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
const [name, url] = process.argv.slice(2);
const ca = readFileSync('ca.pem');
if (name === 'https') {
  const agent = new https.Agent({ ca, keepAlive: true });
  https.get(url, { agent }, (answer) => {
    answer.resume();
    answer.on('end', () => setImmediate(() => agent.destroy()));
  });
} else {
  const dispatcher = new Agent({ connect: { ca } });
  await (await request(url, { dispatcher })).body.text();
  await dispatcher.close();
}
JS

cat >clients.py <<'PY'
import asyncio, http.client, io, queue, socket, ssl, subprocess, sys, threading
import aiohttp, httpx, niquests, pycurl, requests, trustme
from tornado.httpclient import AsyncHTTPClient

authority = trustme.CA()
authority.cert_pem.write_to_path('ca.pem')
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert('localhost').configure_cert(server)
listener = socket.create_server(('127.0.0.1', 0))
port = listener.getsockname()[1]
url = f'https://localhost:{port}/'
ends = queue.Queue()

def serve():
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=answer, args=(accepted,), daemon=True).start()

def answer(accepted):
    peer = server.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=False)
    request = b''
    while b'\r\n\r\n' not in request:
        request += peer.recv(4096)
    peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
    try:
        ends.put('close_notify' if peer.recv(4096) == b'' else 'more bytes')
    except ssl.SSLEOFError:
        ends.put('bare FIN')
    except ConnectionResetError:
        ends.put('reset')

def trust():
    return ssl.create_default_context(cafile='ca.pem')

def use_asyncio():
    async def go():
        reader, writer = await asyncio.open_connection('localhost', port, ssl=trust())
        writer.write(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
        await reader.readuntil(b'hello')
        writer.close()
        await writer.wait_closed()
    asyncio.run(go())

def use_http_client():
    client = http.client.HTTPSConnection('localhost', port, context=trust())
    client.request('GET', '/')
    client.getresponse().read()
    client.close()

def use_requests():
    with requests.Session() as session:
        session.get(url, verify='ca.pem')

def use_niquests():
    with niquests.Session() as session:
        session.get(url, verify='ca.pem')

def use_httpx():
    async def go():
        async with httpx.AsyncClient(verify=trust()) as client:
            await client.get(url)
    asyncio.run(go())

def use_aiohttp():
    async def go():
        async with aiohttp.ClientSession() as session:
            async with session.get(url, ssl=trust()) as answer:
                await answer.read()
        await asyncio.sleep(0.25)  # as its documentation asks for, so that the transport is closed
    asyncio.run(go())

def use_tornado():
    async def go():
        await AsyncHTTPClient().fetch(url, ca_certs='ca.pem')
        await asyncio.sleep(0.25)
    asyncio.run(go())

def use_pycurl():
    client = pycurl.Curl()
    client.setopt(client.URL, url)
    client.setopt(client.CAINFO, 'ca.pem')
    client.setopt(client.WRITEDATA, io.BytesIO())
    client.perform()
    client.close()

def use_node(name):
    return lambda: subprocess.run(['node', 'clients.mjs', name, url], check=True, timeout=60)

threading.Thread(target=serve, daemon=True).start()
changed = False
for name, use, expected in [
    ('asyncio', use_asyncio, 'close_notify'),
    ('pycurl', use_pycurl, 'close_notify'),
    ('http.client', use_http_client, 'bare FIN'),
    ('requests', use_requests, 'bare FIN'),
    ('niquests', use_niquests, 'bare FIN'),
    ('httpx', use_httpx, 'bare FIN'),
    ('aiohttp', use_aiohttp, 'bare FIN'),
    ('tornado', use_tornado, 'bare FIN'),
    ('Node https', use_node('https'), 'bare FIN'),
    ('undici', use_node('undici'), 'bare FIN'),
]:
    use()
    seen = ends.get(timeout=30)
    changed |= seen != expected
    print(f'{name}: {seen}' + ('' if seen == expected else f' (it was: {expected})'))
sys.exit(changed)
PY
python/bin/python clients.py
