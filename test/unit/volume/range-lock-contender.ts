/** A thread of range-lock.test: takes random ranges and counts who else is inside. */
import { parentPort, workerData } from 'node:worker_threads';
import { RangeLock } from '../../../lib/volume/range-lock.js';

const { lockMemory, area, regions, rounds, seed } = workerData;
const lock = new RangeLock(lockMemory);
const readers = new Int32Array(area, 0, regions);
const writers = new Int32Array(area, regions * 4, regions);
let state = seed + 1;
let violations = 0;
let count = 0;

function random(limit: number): number {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return (state >>> 8) % limit;
}

for (; count < rounds; count++) {
  const first = random(regions);
  const last = first + random(regions - first);
  const isWriter = random(2) === 0;
  if (isWriter) lock.acquireExclusive(first * 512, (last + 1) * 512);
  else lock.acquireShared(first * 512, (last + 1) * 512);
  const mine = isWriter ? writers : readers;
  for (let region = first; region <= last; region++) {
    const before = Atomics.add(mine, region, 1);
    if (isWriter && (before !== 0 || Atomics.load(readers, region) !== 0)) violations += 1;
    if (!isWriter && Atomics.load(writers, region) !== 0) violations += 1;
  }
  for (let region = first; region <= last; region++) Atomics.sub(mine, region, 1);
  lock.release();
}
lock.close();
parentPort!.postMessage({ violations, count });
