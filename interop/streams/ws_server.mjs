// A server of WebSocket with the library `ws`: says again what it hears, and does what it is told by text.
//
//     ws_server.mjs PORT CERTIFICATE KEY
//
// PORT 0 is a free one. With a certificate it is TLS. It says where it listens, and then each thing that it did.

import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'

// Where Debian puts it.
import { WebSocketServer } from '/usr/share/nodejs/ws/wrapper.mjs'

const [port, certificate, key] = process.argv.slice(2)
const server = certificate
  ? https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) })
  : http.createServer()
const sockets = new WebSocketServer({
  server,
  maxPayload: 16 << 20,
  handleProtocols: (offered) => (offered.has('onion.v1') ? 'onion.v1' : false),
})

sockets.on('connection', (socket, request) => {
  console.log('opened', request.url, socket.protocol, request.headers['x-serial'])
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString()
    if (text === 'close') socket.close(1001, 'going away')
    else if (text === 'drop') socket.terminate()
    else if (text === 'ping') {
      socket.once('pong', () => socket.send('pong'))
      socket.ping('are you there')
    } else if (text === 'pieces') {
      for (const piece of ['in ', '', 'three ']) socket.send(piece, { fin: false })
      socket.send('pieces', { fin: true })
    } else socket.send(data, { binary: isBinary })
  })
  socket.on('close', (code, reason) => console.log('closed', code, reason.toString()))
})
server.listen(Number(port), '127.0.0.1', () => console.log('listening on', server.address().port))
