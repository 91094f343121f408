// Fetches a page over TLS through a tunnel: what to ask the proxy with, the proxy's URL, target (host:port), authority.
// The page goes to the output.

import { readFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { get } from 'node:https'
import { createRequire } from 'node:module'
import { connect as connectTls } from 'node:tls'

const [what, proxy, target, authority] = process.argv.slice(2)
const ca = readFileSync(authority)
// Where .ci/packages puts what comes from npm.
const installed = createRequire('/opt/onionskin-peers/npm/')

const talks = {
    'https-proxy-agent': () =>
        new Promise((resolve, reject) => {
            const { HttpsProxyAgent } = installed('https-proxy-agent')
            const agent = new HttpsProxyAgent(proxy, { ca })
            get(`https://${target}/`, { agent, ca }, response => {
                response.on('data', part => process.stdout.write(part)).on('end', resolve)
            }).on('error', reject)
        }),
    undici: async () => {
        const { ProxyAgent, request } = installed('undici')
        const dispatcher = new ProxyAgent({ uri: proxy, requestTls: { ca }, proxyTls: { ca } })
        const { body } = await request(`https://${target}/`, { dispatcher })
        process.stdout.write(await body.text())
        await dispatcher.destroy()
    },
    // Two tunnels at a time on one connection.
    http2: async () => {
        const session = connect(proxy, { ca })
        await Promise.all([through(session), through(session)])
        await new Promise(resolve => session.close(resolve))
    },
}

function through(session) {
    return new Promise((resolve, reject) => {
        session.on('error', reject)
        const tunnel = session.request({ ':method': 'CONNECT', ':authority': target })
        tunnel.on('error', reject)
        tunnel.on('response', headers => {
            if (headers[':status'] !== 200) {
                return reject(new Error(`status ${headers[':status']}`))
            }
            const inner = connectTls({ socket: tunnel, servername: target.split(':')[0], ca }, () => {
                inner.write('GET / HTTP/1.0\r\n\r\n')
            })
            inner.on('error', reject).on('data', part => process.stdout.write(part)).on('end', () => {
                tunnel.close()
                resolve()
            })
        })
    })
}

await talks[what]()
console.log('content')
