import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { RangeLock } from '../../../lib/volume/range-lock.js';

const CONTENDER = new URL('./range-lock-contender.js', import.meta.url);
const THREADS = 4;
const ROUNDS = 3000;

/** Runs `THREADS` contenders over one shared area; each returns how often it saw another inside its range. */
async function contend(regions: number): Promise<{ violations: number; counts: number[] }> {
  const lockMemory = RangeLock.createMemory();
  const area = new SharedArrayBuffer(4 * (2 * regions));
  const workers = Array.from(
    { length: THREADS },
    (_, seed) => new Worker(CONTENDER, { workerData: { lockMemory, area, regions, rounds: ROUNDS, seed } }),
  );
  const results = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
  return {
    violations: results.reduce((sum, result) => sum + result.violations, 0),
    counts: results.map((result) => result.count),
  };
}

t.test('overlapping writers exclude each other and readers; nobody starves', async (t) => {
  const { violations, counts } = await contend(4);
  t.equal(violations, 0);
  t.strictSame(counts, new Array(THREADS).fill(ROUNDS));
});

t.test('what does not overlap does not wait', async (t) => {
  const memory = RangeLock.createMemory();
  const [a, b, c] = [new RangeLock(memory), new RangeLock(memory), new RangeLock(memory)];
  a.acquireExclusive(0, 512);
  b.acquireExclusive(512, 1024);
  c.acquireShared(1024, 4096);
  b.release();
  b.acquireShared(2048, 8192);
  for (const lock of [a, b, c]) lock.release();
  t.pass('none of these waited');
});

t.test('a closed slot is used again', async (t) => {
  const memory = RangeLock.createMemory();
  for (let round = 0; round < 1000; round++) new RangeLock(memory).close();
  const held = Array.from({ length: 128 }, () => new RangeLock(memory));
  t.throws(() => new RangeLock(memory), { code: 'BUSY' });
  held[0]!.close();
  t.ok(new RangeLock(memory));
});
