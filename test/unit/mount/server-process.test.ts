/**
 * How long a server may take to start: as long as it gets on.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type ServerDescriptors, ServerProcess } from '../../../lib/mount/server-process.js';
import { makeTempDir } from '../../kit/temp.js';

const NULL_FD = fs.openSync('/dev/null', 'r');
const DESCRIPTORS: ServerDescriptors = [NULL_FD, NULL_FD, NULL_FD, NULL_FD, NULL_FD];
const STALLED_MS = 1500;
/** All that is read of an order before the server has it. */
const order = { options: { labels: { payload: '/srv/vault.img' } } } as unknown as Parameters<
  typeof ServerProcess.start
>[3];

/** Starts a server that runs `script`. */
async function start(t: Test, script: string, totalMs = 60_000): Promise<ServerProcess> {
  const entry = path.join(makeTempDir(t), 'server.mjs');
  fs.writeFileSync(entry, `import fs from 'node:fs';\nfs.writeSync(3, '!');\n${script}`);
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  const limits = { totalMs, stalledMs: STALLED_MS };
  return ServerProcess.start(entry, DESCRIPTORS, null, order, new Map(), ending.signal, limits);
}

const COMPUTE = (ms: number) => `for (const end = Date.now() + ${ms}; Date.now() < end; );`;
const READY = `fs.writeSync(3, JSON.stringify({ ready: { isSlow: true } }) + '\\n'); setInterval(() => {}, 1000);`;

t.test('one that computes for longer than it may stand still', async (t) => {
  const server = await start(t, `${COMPUTE(2.5 * STALLED_MS)} ${READY}`);
  t.match(server.info, { isSlow: true });
  server.kill();
  await server.exited;
});

t.test('one that stands still', async (t) => {
  await t.rejects(start(t, 'setInterval(() => {}, 1e6);'), {
    code: 'DEVICE_IO',
    message: /got nowhere while it started.*see whether \/srv\/vault.img can be read/,
  });
});

t.test('one that computes for ever', async (t) => {
  await t.rejects(start(t, COMPUTE(1e9), 2 * STALLED_MS), { message: /got nowhere/ });
});

t.test('one that dies is not said to have hung', async (t) => {
  await t.rejects(start(t, `process.kill(process.pid, 'SIGKILL');`), {
    message: 'the server ended before it was ready (SIGKILL)',
  });
});

t.test('one that is ended by its signal has ended when it is dead, and that is no failure', async (t) => {
  const entry = path.join(makeTempDir(t), 'server.mjs');
  fs.writeFileSync(entry, `import fs from 'node:fs';\nfs.writeSync(3, '!');\n${READY}`);
  const ending = new AbortController();
  const server = await ServerProcess.start(entry, DESCRIPTORS, null, order, new Map(), ending.signal);
  ending.abort();
  t.equal(await server.exited, 'SIGKILL');
});
