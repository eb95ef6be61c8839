// Sends photographs over keep-alive connections, each one asking as soon as it is answered, and reports what it saw.
//   {url, method, images: [file], clients, seconds or amount} in JSON on stdin; figures in JSON on stdout.
// autocannon's own histogram counts whole milliseconds, so the quantiles come from its response events.

import { readFileSync } from 'node:fs'
import { json } from 'node:stream/consumers'
import autocannon from 'autocannon'

const { url, method, images, clients, seconds, amount } = await json(process.stdin)
const requests = images.map((file) => ({ method, headers: { 'content-type': 'image/jpeg' }, body: readFileSync(file) }))
const milliseconds = []
let refused = 0
let started = 0

const before = process.cpuUsage()
const run = autocannon({
  url,
  method,
  connections: clients,
  ...(amount ? { amount } : { duration: seconds }),
  timeout: 60,
  // Each connection starts with another photograph, so that they do not all send the same one at once.
  setupClient: (client) => {
    const first = started++ % Math.max(requests.length, 1)
    if (requests.length) client.setRequests([...requests.slice(first), ...requests.slice(0, first)])
  },
})
run.on('response', (client, status, bytes, duration) => {
  if (status === 200) milliseconds.push(duration)
  else refused += 1
})
const result = await run
const used = process.cpuUsage(before)

milliseconds.sort((a, b) => a - b)
const quantile = (share) => milliseconds[Math.min(milliseconds.length - 1, Math.floor(share * milliseconds.length))]
process.stdout.write(JSON.stringify({
  answered: milliseconds.length,
  refused,
  errors: result.errors + result.timeouts,
  requests_per_second: milliseconds.length / result.duration,
  p50_ms: quantile(0.5),
  p95_ms: quantile(0.95),
  p99_ms: quantile(0.99),
  generator_cpu_ms_per_request: (used.user + used.system) / 1000 / milliseconds.length,
}))
