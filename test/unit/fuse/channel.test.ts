import fs from 'node:fs';
import t, { type Test } from 'tap';
import { Channel } from '../../../lib/fuse/channel.js';
import { Frame } from '../../../lib/fuse/wire.js';
import { createSocketPair } from '../../../lib/native/socket-pair.js';
import { F_GETFL, fcntl } from '../../kit/libc.js';

const frame = new Frame(new Uint8Array(Frame.memoryBytes(8192)));

/** Replaces fs calls for one test, as fs/fuse/dev.c would answer: a number is a result, a text an error. */
function answering(
  t: Test,
  call: 'readSync' | 'writeSync',
  ...results: (number | string)[]
): { count: number } {
  const original = fs[call];
  const seen = { count: 0 };
  (fs as unknown as Record<string, unknown>)[call] = () => {
    const result = results[seen.count++];
    if (typeof result === 'number') return result;
    throw Object.assign(new Error(`${result}`), { code: result, errno: -1 });
  };
  t.teardown(() => {
    (fs as unknown as Record<string, unknown>)[call] = original;
  });
  return seen;
}

t.test('receive reads again where there is nothing wrong', (t) => {
  const seen = answering(t, 'readSync', 'EINTR', 'ENOENT', 40);
  t.equal(new Channel(9).receive(frame), 40);
  t.equal(seen.count, 3);
  t.end();
});

t.test('whether reading waits is set where it is needed, however the descriptor came', (t) => {
  const [fd, other] = createSocketPair();
  t.teardown(() => {
    fs.closeSync(fd);
    fs.closeSync(other);
  });
  const waits = () => (fcntl(fd, F_GETFL, 0) & fs.constants.O_NONBLOCK) === 0;
  const prompt = Channel.withoutWaiting(fd);
  t.notOk(waits());
  t.equal(prompt.receiveQueued(frame), 0, 'nothing is there');
  answering(t, 'readSync', 'EAGAIN', 40);
  t.equal(new Channel(fd).receive(frame), 40);
  t.ok(waits());
  t.end();
});

t.test('ENODEV is the end, an aborted connection a failure', (t) => {
  answering(t, 'readSync', 'ENODEV', 'ECONNABORTED', 'ECONNABORTED', 'EIO');
  t.equal(new Channel(9).receive(frame), null);
  t.throws(() => new Channel(9).receive(frame), { code: 'DEVICE_IO' });
  t.throws(() => new Channel(9).receive(frame), { code: 'EIO' });
  t.end();
});

t.test('a request that was being read when all was unmounted does not make that a failure', (t) => {
  answering(t, 'readSync', 'ECONNABORTED', 'ENODEV');
  t.equal(new Channel(9).receive(frame), null);
  t.end();
});

t.test('an answer nobody waits for is no failure, a refused one is', (t) => {
  answering(t, 'writeSync', 'ENOENT', 'ENODEV', 'EINVAL');
  new Channel(9).send(frame, 16);
  new Channel(9).send(frame, 16);
  t.throws(() => new Channel(9).send(frame, 16), { code: 'EINVAL' });
  t.end();
});
