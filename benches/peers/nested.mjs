// TLS inside TLS with Node's own streams: one side of one cell of the comparing bench.
//
//     node nested.mjs server|client KIND DEPTH AMOUNT WARM_UP CONNECTIONS PORT FOLDER
//
// A server prints its port first. Both print their report, a line of JSON, at the end.
// `benches/compare/side/work.rs` says what each kind of work is.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";

const CHUNK = 64 * 1024;
const MESSAGE = 64;
const ECHO = 16 * 1024;

const [role, kind, ...rest] = process.argv.slice(2);
const [depth, amount, warmUp, connections, port] = rest.slice(0, 5).map(Number);
const folder = rest[5];
const isServer = role === "server";

const certificate = readFileSync(`${folder}/certificate.pem`);
const options = { minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256", ecdhCurve: "X25519" };
const context = tls.createSecureContext(
  isServer
    ? { ...options, cert: certificate, key: readFileSync(`${folder}/key.pem`) }
    : { ...options, ca: certificate },
);

// Begins when the last connection is warm, and ends when the last one is done.
class Meter {
  constructor(count) {
    this.toWarm = this.toDo = count;
  }

  warm() {
    this.toWarm -= 1;
    if (this.toWarm === 0) this.begin();
  }

  begin() {
    this.begun = reading();
  }

  done() {
    this.toDo -= 1;
    if (this.toDo === 0) this.ended = reading();
  }

  report() {
    return { wall: this.ended.wall - this.begun.wall, cpu: this.ended.cpu - this.begun.cpu };
  }
}

function reading() {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now() / 1e3, cpu: (user + system) / 1e6 };
}

// A connection, with as many layers as were started. It is read by events, into whatever waits.
class Stream {
  constructor(socket) {
    socket.setNoDelay(true);
    this.take(socket);
  }

  // Reads stop until somebody asks for them: what comes early stays in the socket.
  take(socket) {
    this.socket = socket;
    this.error = undefined;
    this.listeners = {
      readable: () => this.wake?.(),
      end: () => ((this.ended = true), this.wake?.()),
      error: (error) => ((this.error = error), this.wake?.()),
      close: () => ((this.ended = true), this.wake?.()),
    };
    for (const [event, listener] of Object.entries(this.listeners)) socket.on(event, listener);
  }

  async startLayers() {
    for (let layer = 0; layer < depth; layer += 1) {
      if (isServer) await this.write(Buffer.from([1]));
      else await this.readExactly(1);
      this.socket.off("readable", this.listeners.readable);
      const below = this.socket;
      const above = isServer
        ? new tls.TLSSocket(below, { isServer, secureContext: context })
        : tls.connect({ socket: below, secureContext: context, servername: "localhost" });
      await once(above, isServer ? "secure" : "secureConnect");
      const agreed = `${above.getProtocol()} ${above.getCipher().standardName}`;
      if (agreed !== "TLSv1.3 TLS_AES_128_GCM_SHA256") throw new Error(`agreed on ${agreed}`);
      this.take(above);
    }
  }

  async write(data) {
    if (!this.socket.write(data)) await once(this.socket, "drain");
  }

  // At most this many bytes, or null at the end.
  async read(most) {
    for (;;) {
      const data = this.socket.read(Math.min(most, this.socket.readableLength) || undefined);
      if (data !== null) return data;
      if (this.error) throw this.error;
      if (this.ended) return null;
      await new Promise((resolve) => (this.wake = resolve));
      this.wake = undefined;
    }
  }

  async readExactly(count) {
    const parts = [];
    for (let left = count; left > 0; ) {
      const data = await this.read(left);
      if (data === null) throw new Error("the peer ended too early");
      left -= data.length;
      parts.push(data);
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  async send(count) {
    const chunk = Buffer.alloc(CHUNK, ".");
    for (let left = count; left > 0; left -= CHUNK) await this.write(left >= CHUNK ? chunk : chunk.subarray(0, left));
  }

  async receive(count) {
    for (let left = count; left > 0; ) {
      const data = await this.read(Math.min(left, CHUNK));
      if (data === null) throw new Error("the peer ended too early");
      left -= data.length;
    }
  }

  async untilEnd() {
    try {
      while ((await this.read(MESSAGE)) !== null);
    } catch {
      // How the peer ends is no matter.
    }
    this.socket.end();
  }

  async servePart(count, beforeLast) {
    if (kind === "bulk") {
      await this.receive(count);
    } else if (kind === "both") {
      await Promise.all([this.receive(count), this.send(count)]);
    } else {
      for (let left = count; left > 0; left -= 1) {
        const message = await this.readExactly(MESSAGE);
        if (left === 1) beforeLast();
        await this.write(message);
      }
      return;
    }
    beforeLast();
    await this.write(Buffer.from([1]));
  }

  async askPart(count) {
    if (kind === "bulk") {
      await this.send(count);
    } else if (kind === "both") {
      await Promise.all([this.receive(count), this.send(count)]);
    } else {
      const message = Buffer.alloc(MESSAGE, ".");
      for (let left = count; left > 0; left -= 1) {
        await this.write(message);
        await this.readExactly(MESSAGE);
      }
      return;
    }
    await this.readExactly(1);
  }
}

async function connect() {
  const socket = net.connect(port, "127.0.0.1");
  await once(socket, "connect");
  return new Stream(socket);
}

function listen(onConnection) {
  const server = net.createServer((socket) => onConnection(new Stream(socket)).catch(fail));
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => console.log(server.address().port));
}

async function serve() {
  const meter = new Meter(connections);
  let left = connections;
  listen(async (stream) => {
    await stream.startLayers();
    await stream.servePart(warmUp, () => meter.warm());
    await stream.servePart(amount, () => meter.done());
    // Until the client has the last answer, it may still be on its way down.
    await stream.untilEnd();
    left -= 1;
    if (left === 0) finish(meter.report());
  });
}

async function ask() {
  const meter = new Meter(connections);
  const prepare = async () => {
    const stream = await connect();
    await stream.startLayers();
    await stream.askPart(warmUp);
    return stream;
  };
  const streams = await Promise.all(Array.from({ length: connections }, prepare));
  meter.begin();
  const work = async (stream) => {
    await stream.askPart(amount);
    meter.done();
  };
  await Promise.all(streams.map(work));
  finish(meter.report());
}

async function serveHandshakes() {
  const meter = new Meter(1);
  let left = warmUp + amount;
  listen(async (stream) => {
    if (left === amount) meter.begin();
    await stream.startLayers();
    await stream.write(await stream.readExactly(MESSAGE));
    await stream.untilEnd();
    left -= 1;
    if (left === 0) {
      meter.done();
      finish(meter.report());
    }
  });
}

async function askHandshakes() {
  const meter = new Meter(1);
  let untilUp = 0;
  for (let number = 0; number < warmUp + amount; number += 1) {
    if (number === warmUp) {
      meter.begin();
      untilUp = 0;
    }
    const begun = performance.now();
    const stream = await connect();
    await stream.startLayers();
    await stream.write(Buffer.alloc(MESSAGE, "."));
    await stream.readExactly(MESSAGE);
    untilUp += (performance.now() - begun) / 1e3;
    stream.socket.end();
  }
  meter.done();
  const report = meter.report();
  finish(kind === "stack4" ? { ...report, wall: untilUp } : report);
}

async function serveMemory() {
  let isFirst = true;
  const looks = [];
  listen(async (stream) => {
    if (isFirst) {
      isFirst = false;
      while (looks.length < 2 && (await stream.read(1)) !== null) {
        looks.push(resident());
        await stream.write(Buffer.from([1]));
      }
      finish({ wall: 0, cpu: 0, resident: looks });
      return;
    }
    await stream.startLayers();
    await stream.write(await stream.readExactly(ECHO));
    await stream.untilEnd();
  });
}

function resident() {
  return Number(/VmRSS:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
}

function finish(report) {
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}

function fail(error) {
  console.error(`${error}`);
  process.exit(1);
}

const work = {
  bulk: [serve, ask],
  both: [serve, ask],
  ask: [serve, ask],
  ask100: [serve, ask],
  stack4: [serveHandshakes, askHandshakes],
  handshake: [serveHandshakes, askHandshakes],
  memory: [serveMemory],
}[kind]?.[isServer ? 0 : 1];
if (work) work().catch(fail);
else fail(`no ${kind} here`);
