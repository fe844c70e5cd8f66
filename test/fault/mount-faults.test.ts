/**
 * A mount whose payload fails: the program that uses the file gets the errno, by the call that POSIX lets it expect it
 * from; the mount serves on; and what was acknowledged is in the payload.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { FALLOC_FL_ZERO_RANGE, fallocateSync } from '../../lib/native/file.js';
import { codeOf } from '../kit/error-code.js';
import { withSharedMapping } from '../kit/libc.js';
import type { Operation } from '../kit/payload-faults.js';
import { Random, seededRandom } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { type FaultyMount, mountFaulty } from './faulty-mount.js';

const skip = skipUnless({ root: true, fuse: true });
const { O_RDWR, O_DIRECT } = fs.constants;
const PAGE = 4096;

/** Runs `work` on the open file and closes it, with whatever error close(2) has. */
function withFile(file: string, flags: number, work: (fd: number) => void): void {
  const fd = fs.openSync(file, flags);
  try {
    work(fd);
  } finally {
    fs.closeSync(fd);
  }
}

interface Way {
  name: string;
  flags: number;
  offsetBytes: number;
  lengthBytes: number;
  change: (fd: number, bytes: Buffer, offsetBytes: number) => void;
}

const write: Way['change'] = (fd, bytes, offsetBytes) =>
  fs.writeSync(fd, bytes, 0, bytes.length, offsetBytes);

/** Changes that return when the payload has them. */
const WAYS: readonly Way[] = [
  { name: 'write(2) of pages', flags: O_RDWR, offsetBytes: 8 * PAGE, lengthBytes: 5 * PAGE, change: write },
  {
    name: 'write(2) of odd bytes',
    flags: O_RDWR,
    offsetBytes: 3 * PAGE + 77,
    lengthBytes: 9001,
    change: write,
  },
  {
    name: 'write(2) with O_DIRECT',
    flags: O_RDWR | O_DIRECT,
    offsetBytes: 20 * PAGE,
    lengthBytes: 2 * PAGE,
    change: write,
  },
  {
    name: 'fallocate(2), zeros',
    flags: O_RDWR,
    offsetBytes: 30 * PAGE + 5,
    lengthBytes: 2 * PAGE,
    change: (fd, bytes, offsetBytes) => {
      bytes.fill(0);
      fallocateSync(fd, FALLOC_FL_ZERO_RANGE, offsetBytes, bytes.length);
    },
  },
  {
    name: 'msync(2) of a mapping',
    flags: O_RDWR,
    offsetBytes: PAGE,
    lengthBytes: 3 * PAGE,
    change: (fd, bytes, offsetBytes) =>
      withSharedMapping(fd, 8 * PAGE, (memory) => memory.set(bytes, offsetBytes)),
  },
];

async function checkStored(t: Test, mount: FaultyMount, what: string): Promise<void> {
  t.ok((await mount.stored()).equals(mount.model), what);
}

/** One way, failing at its nth write or read of the payload; false where it has fewer. */
async function failAt(
  t: Test,
  mount: FaultyMount,
  way: Way,
  operation: Operation,
  nth: number,
  effect: 'EIO' | 'ENOSPC',
) {
  const { offsetBytes, lengthBytes } = way;
  const bytes = randomBytes(lengthBytes);
  const end = offsetBytes + lengthBytes;
  // What the kernel must read first is not what is to fail here.
  withFile(mount.file, O_RDWR, (fd) => fs.readSync(fd, Buffer.alloc(64 * PAGE), 0, 64 * PAGE, 0));
  mount.faults.arm(operation, effect, nth);
  const code = codeOf(() => withFile(mount.file, way.flags, (fd) => way.change(fd, bytes, offsetBytes)));
  const hasFailed = mount.faults.isSpent;
  mount.faults.clear();
  const name = `${way.name}: ${effect} at ${operation} ${nth}`;
  if (hasFailed) t.equal(code, effect, name);
  const found = await mount.stored();
  const around = [found.subarray(0, offsetBytes), found.subarray(end)];
  const expected = [mount.model.subarray(0, offsetBytes), mount.model.subarray(end)];
  if (!around.every((part, index) => part.equals(expected[index]!)))
    t.fail(`${name}: bytes around it changed`);
  withFile(mount.file, way.flags, (fd) => way.change(fd, bytes, offsetBytes));
  bytes.copy(mount.model, offsetBytes);
  if (!(await mount.stored()).equals(mount.model)) t.fail(`${name}: not as written once the fault is over`);
  if (!fs.readFileSync(mount.file).equals(mount.model)) t.fail(`${name}: read differently through the mount`);
  return hasFailed;
}

for (const cache of ['auto', 'none'] as const) {
  for (const sectorBytes of [512, 4096]) {
    t.test(`cache ${cache}, sectors of ${sectorBytes}: changes fail at every call`, { skip }, async (t) => {
      const mount = await mountFaulty(t, { cache, sectorBytes, sizeBytes: 256 * PAGE, workerCount: 1 });
      // Past the cache there are no mappings that are shared.
      const ways = WAYS.filter(({ name }) => cache === 'auto' || !name.startsWith('msync'));
      for (const way of ways) {
        for (const operation of ['write', 'read'] as const) {
          for (const effect of ['EIO', 'ENOSPC'] as const) {
            let nth = 0;
            while (await failAt(t, mount, way, operation, nth, effect)) nth += 1;
            if (operation === 'write') t.ok(nth > 0, `${way.name}: failed at each of ${nth} writes`);
          }
        }
      }
      t.equal(
        codeOf(() => fs.readFileSync(mount.file)),
        null,
        'the mount serves on',
      );
      await mount.unmount();
    });
  }

  t.test(`cache ${cache}: reads`, { skip }, async (t) => {
    const mount = await mountFaulty(t, { cache, workerCount: 1 });
    const target = Buffer.alloc(2 * PAGE);
    const readAt = (flags: number) =>
      withFile(mount.file, flags, (fd) => fs.readSync(fd, target, 0, target.length, 5 * PAGE));
    for (const flags of [O_RDWR, O_RDWR | O_DIRECT]) {
      mount.faults.arm('read', 'EIO', 0, 100);
      t.equal(
        codeOf(() => readAt(flags)),
        'EIO',
        'the caller is told',
      );
      mount.faults.arm('read', 'nothing', 0, 100);
      t.equal(
        codeOf(() => readAt(flags)),
        'EIO',
        'a payload that became shorter is no end of the file',
      );
      mount.faults.arm('read', 'short', 0, 1);
      readAt(flags);
      t.ok(target.equals(mount.model.subarray(5 * PAGE, 7 * PAGE)), 'a short read is completed');
      mount.faults.clear();
      t.ok(fs.readFileSync(mount.file).equals(mount.model), 'nothing wrong was kept');
    }
  });
}

t.test('fsync(2) fails for whoever had the file open, once', { skip }, async (t) => {
  const mount = await mountFaulty(t, { cache: 'auto' });
  const [one, other] = [fs.openSync(mount.file, 'r+'), fs.openSync(mount.file, 'r+')];
  try {
    fs.writeSync(one, mount.model, 0, PAGE, 0);
    fs.writeSync(other, mount.model, PAGE, PAGE, PAGE);
    mount.faults.arm('sync', 'EIO');
    t.equal(
      codeOf(() => fs.fsyncSync(one)),
      'EIO',
      'the one that asked',
    );
    t.equal(
      codeOf(() => fs.fsyncSync(other)),
      'EIO',
      'the other, whose data may be lost as well',
    );
    t.equal(
      codeOf(() => fs.fsyncSync(one)),
      null,
      'told once',
    );
    t.equal(
      codeOf(() => fs.fsyncSync(other)),
      null,
      'told once',
    );
    withFile(mount.file, O_RDWR, (late) =>
      t.equal(
        codeOf(() => fs.fsyncSync(late)),
        null,
        'not who came later',
      ),
    );
  } finally {
    fs.closeSync(one);
    fs.closeSync(other);
  }
  await mount.unmount();
  await checkStored(t, mount, 'nothing was lost by it');
});

t.test('writeback: what the kernel keeps back fails at fsync and at close', { skip }, async (t) => {
  const mount = await mountFaulty(t, { cache: 'writeback', workerCount: 1 });
  for (const effect of ['EIO', 'ENOSPC'] as const) {
    for (const [name, call] of [
      ['fsync', (fd: number) => fs.fsyncSync(fd)],
      ['close', () => {}],
    ] as const) {
      const bytes = randomBytes(3 * PAGE);
      const fd = fs.openSync(mount.file, 'r+');
      mount.faults.arm('write', effect, 0, 1000);
      t.equal(
        codeOf(() => fs.writeSync(fd, bytes, 0, bytes.length, 40 * PAGE)),
        null,
        'the page cache takes it',
      );
      const called = codeOf(() => call(fd));
      const closed = codeOf(() => fs.closeSync(fd));
      mount.faults.clear();
      t.equal(name === 'fsync' ? called : closed, effect, `${name} tells of ${effect}`);
      withFile(mount.file, O_RDWR, (again) => {
        // What no fsync was told of, the kernel tells the next one to come (errseq).
        codeOf(() => fs.fsyncSync(again));
        fs.writeSync(again, bytes, 0, bytes.length, 40 * PAGE);
        fs.fsyncSync(again);
      });
      bytes.copy(mount.model, 40 * PAGE);
      await checkStored(t, mount, 'written again once the fault is over, it is there');
    }
  }
  await mount.unmount();
});

/** Writes to its own pages, at random, and keeps account of what was acknowledged. */
async function writeAtRandom(fd: number, random: Random, first: number, pageCount: number, model: Buffer) {
  const asyncWrite = promisify(fs.write);
  let failed = 0;
  const unsure = new Set<number>();
  for (let round = 0; round < 150; round += 1) {
    const page = first + random.below(pageCount);
    const bytes = random.bytes(PAGE);
    try {
      await asyncWrite(fd, bytes, 0, PAGE, page * PAGE);
      bytes.copy(model, page * PAGE);
      unsure.delete(page);
    } catch (error) {
      if (!['EIO', 'ENOSPC'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      failed += 1;
      unsure.add(page);
    }
  }
  return { failed, unsure };
}

for (const cache of ['auto', 'none'] as const) {
  t.test(`cache ${cache}: one write in ten fails under load`, { skip }, async (t) => {
    const random = seededRandom((line) => t.comment(line));
    const mount = await mountFaulty(t, { cache, sectorBytes: 512, workerCount: 4 });
    const fd = fs.openSync(mount.file, 'r+');
    mount.faults.armAtRandom('write', 'ENOSPC', 10);
    const writers = Array.from({ length: 8 }, (_, index) =>
      writeAtRandom(fd, new Random(random.between(1, 2 ** 31)), index * 100, 100, mount.model),
    );
    const results = await Promise.all(writers);
    mount.faults.clear();
    fs.closeSync(fd);
    const failed = results.reduce((sum, result) => sum + result.failed, 0);
    t.ok(failed > 20, `${failed} of 1200 writes were refused`);
    const [stored, seen] = [await mount.stored(), fs.readFileSync(mount.file)];
    const unsure = new Set(results.flatMap((result) => [...result.unsure]));
    const wrong: number[] = [];
    for (let page = 0; page < mount.model.length / PAGE; page += 1) {
      const part = (bytes: Buffer) => bytes.subarray(page * PAGE, (page + 1) * PAGE);
      if (!part(stored).equals(part(seen))) wrong.push(page);
      if (!unsure.has(page) && !part(stored).equals(part(mount.model))) wrong.push(page);
    }
    t.strictSame(wrong, [], 'all that was acknowledged is stored, and the mount shows what is stored');
    await mount.unmount();
  });
}
