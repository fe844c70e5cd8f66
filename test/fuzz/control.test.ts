/**
 * The control socket of a living mount, given any bytes in any order at any moment, by several at once: it neither hangs nor
 * ends, gives nothing away, and the file is what it was.
 */
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { controlSocketOf, statusOf } from '../kit/serving.js';

const ROUNDS = 40;
const VISITORS = 8;

/** Requests that are nearly right, and others. */
function makeRequest(random: Random): Buffer {
  const values = [
    ...[null, 0, -1, 'x', '', [], {}, true, 2 ** 53, '/etc/passwd', { entry: [] }],
    ...[{ entry: '/dev/null' }, { entry: '/nowhere' }, { entry: 'node' }],
    { order: { isPaused: true }, keys: { path: '/nowhere', shapes: [{ digest: 0, sizeBytes: 64 }] } },
    { order: null, keys: { path: '/dev/null', shapes: [{ digest: 0, sizeBytes: 1e12 }] } },
    { order: { isPaused: false, zoneBytes: 'many' }, keys: null },
    { order: {}, keys: { path: 'x'.repeat(5000), shapes: 'none' } },
  ];
  const name = random.pick(['upgrade', 'reencrypt', 'describe', '__proto__', '']);
  const text = JSON.stringify({ [name]: random.pick(values) });
  switch (random.below(5)) {
    case 0:
      return random.bytes(random.below(3000));
    case 1:
      return Buffer.from(text.slice(0, random.below(text.length)));
    case 2:
      return Buffer.from(`${JSON.stringify(random.pick(values))}\n`);
    default:
      return Buffer.from(`${text}\n`);
  }
}

/** One visitor's visit. Returns what was said to it. */
async function visit(socketPath: string, random: Random): Promise<string> {
  const socket = net.connect(socketPath);
  let said = '';
  socket
    .on('error', () => {})
    .on('data', (bytes) => {
      said += bytes.toString('latin1');
    });
  for (let count = 1 + random.below(4); count > 0 && !socket.destroyed; count--) {
    socket.write(makeRequest(random));
    await delay(random.below(30));
  }
  if (random.oneIn(2)) socket.destroy();
  else {
    socket.end();
    await delay(200);
    socket.destroy();
  }
  return said;
}

t.test(
  'whatever is said on the control socket',
  {
    skip: skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] }),
  },
  async (t) => {
    const pair = await makePair(t, { type: 'luks2', sizeBytes: 4 * 1024 * 1024 });
    const { mountpoint, file, umount } = await mountVolume(t, pair);
    const socket = controlSocketOf(mountpoint);
    const { supervisorPid } = await statusOf(mountpoint);
    const random = new Random(Number(process.env.TEST_SEED ?? 1));
    for (let round = 0; round < ROUNDS; round += 1) {
      const visits = Array.from({ length: VISITORS }, () => visit(socket, new Random(random.below(2 ** 31))));
      const said = (await Promise.all(visits)).join('');
      if (said.includes(pair.passphrase.toString('latin1'))) t.fail(`round ${round}: the passphrase`);
      if (/a fault in luksfuse|\bat \S+:\d+/.test(said)) t.fail(`round ${round}: ${said}`);
    }
    const now = await statusOf(mountpoint);
    t.equal(now.supervisorPid, supervisorPid);
    t.ok(fs.readFileSync(file).equals(pair.plaintext));
    await mustLuksfuse(['upgrade', mountpoint]);
    t.ok(fs.readFileSync(file).equals(pair.plaintext));
    await umount();
  },
);
