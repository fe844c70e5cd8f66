/**
 * Payloads that fail as they do in life: a file system that is full, a file that was cut off, a loop device that
 * shrank. The program, as a user runs it, hands the errors on and lives.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { decryptPayload, makePair, type Pair } from '../kit/cryptsetup.js';
import { codeOf } from '../kit/error-code.js';
import { attachLoop } from '../kit/loop.js';
import { luksfuse, mountVolume, unlockArgs } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';

const MiB = 1024 * 1024;
const PAGE = 4096;
const skip = skipUnless({ root: true, fuse: true, loop: true, tools: ['cryptsetup', 'losetup'] });

/** A tmpfs of its own, unmounted at the teardown of `t`. */
async function makeSmallDisk(t: Test, dir: string, sizeBytes: number): Promise<string> {
  const disk = path.join(dir, 'disk');
  fs.mkdirSync(disk);
  await mustRun('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', disk]);
  t.teardown(async () => findMount(disk) && (await run('umount', ['-l', disk])));
  return disk;
}

/** Puts `bytes` at `offsetBytes`, through to the payload. */
function store(file: string, bytes: Buffer, offsetBytes: number): void {
  const fd = fs.openSync(file, 'r+');
  try {
    fs.writeSync(fd, bytes, 0, bytes.length, offsetBytes);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function readPage(file: string, index: number): Buffer {
  const page = Buffer.alloc(PAGE);
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
  try {
    fs.readSync(fd, page, 0, PAGE, index * PAGE);
  } finally {
    fs.closeSync(fd);
  }
  return page;
}

/** Fills the sparse payload until its file system is full; returns the pages that were acknowledged. */
function fillDisk(file: string, sizeBytes: number): { stored: Map<number, Buffer>; refused: number } {
  const stored = new Map<number, Buffer>();
  for (let page = 0; page < sizeBytes / PAGE; page += 1) {
    const bytes = randomBytes(PAGE);
    const code = codeOf(() => store(file, bytes, page * PAGE));
    if (code === 'ENOSPC') return { stored, refused: page };
    if (code !== null) throw new Error(`page ${page}: ${code}`);
    stored.set(page, bytes);
  }
  throw new Error('the disk did not become full');
}

for (const cache of ['auto', 'none', 'writeback'] as const) {
  t.test(`a full file system, cache ${cache}`, { skip }, async (t) => {
    const pair = await makePair(t, { type: 'luks2', sizeBytes: 2 * MiB, sectorSizeBytes: 4096 });
    const disk = await makeSmallDisk(t, pair.dir, MiB);
    const sparse: Pair = { ...pair, payload: path.join(disk, 'sparse') };
    fs.writeFileSync(sparse.payload, '');
    fs.truncateSync(sparse.payload, 2 * MiB);
    const mountpoint = fs.mkdtempSync(path.join(pair.dir, 'mountpoint-'));
    const mount = await mountVolume(t, sparse, { args: ['--cache', cache], mountpoint });
    const { stored, refused } = fillDisk(mount.file, 2 * MiB);
    t.ok(stored.size > 200, `${stored.size} pages fit, and the next one is ENOSPC`);
    t.equal(
      codeOf(() => store(mount.file, randomBytes(3 * PAGE), refused * PAGE)),
      'ENOSPC',
      'and the next',
    );
    const wrong = [...stored].filter(([page, bytes]) => !readPage(mount.file, page).equals(bytes));
    t.strictSame(wrong, [], 'what was acknowledged is there');
    const again = randomBytes(PAGE);
    t.equal(
      codeOf(() => store(mount.file, again, 0)),
      null,
      'what has its space can be written again',
    );
    stored.set(0, again);

    await mustRun('mount', ['-o', `remount,size=${4 * MiB}`, disk]);
    const late = randomBytes(PAGE);
    t.equal(
      codeOf(() => store(mount.file, late, refused * PAGE)),
      null,
      'with more space it goes on',
    );
    stored.set(refused, late);
    await mount.umount();
    const plaintext = await decryptPayload(sparse);
    const lost = [...stored].filter(
      ([page, bytes]) => !plaintext.subarray(page * PAGE, (page + 1) * PAGE).equals(bytes),
    );
    t.strictSame(lost, [], 'cryptsetup finds it too');
    await mustRun('umount', [disk]);
  });
}

t.test('a payload that was cut off', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 2 * MiB });
  const mount = await mountVolume(t, pair, { args: ['--cache', 'none'] });
  const whole = fs.readFileSync(pair.payload);
  fs.truncateSync(pair.payload, MiB + 1000);
  const read = (page: number) => codeOf(() => readPage(mount.file, page));
  t.equal(read(255), null, 'what is left can be read');
  t.equal(read(256), 'EIO', 'the page that is cut is an error, not noise');
  t.equal(read(400), 'EIO', 'so is what is gone');
  t.equal(
    codeOf(() => store(mount.file, Buffer.from('part of a sector'), 400 * PAGE)),
    'EIO',
  );
  t.equal(fs.statSync(pair.payload).size, MiB + 1000, 'and the payload was not changed by that');
  const page = randomBytes(PAGE);
  t.equal(
    codeOf(() => store(mount.file, page, 400 * PAGE)),
    null,
    'whole sectors make it longer again',
  );
  t.ok(readPage(mount.file, 400).equals(page));
  fs.writeFileSync(pair.payload, whole);
  t.ok(fs.readFileSync(mount.file).equals(pair.plaintext), 'once it is whole again, all is right');
  await mount.umount();

  fs.truncateSync(pair.payload, MiB);
  const again = await mountVolume(t, pair);
  t.equal(fs.statSync(again.file).size, MiB, 'a mount made later has the size that there is');
  await again.umount();
});

t.test('a loop device that shrank', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 2 * MiB });
  const device = await attachLoop(t, pair.payload);
  const mountpoint = fs.mkdtempSync(path.join(pair.dir, 'mountpoint-'));
  const mount = await mountVolume(t, { ...pair, payload: device }, { args: ['--cache', 'none'], mountpoint });
  const bytes = randomBytes(PAGE);
  fs.truncateSync(pair.payload, MiB);
  await mustRun('losetup', ['--set-capacity', device]);
  t.equal(
    codeOf(() => readPage(mount.file, 10)),
    null,
    'what is left can be read',
  );
  t.equal(
    codeOf(() => readPage(mount.file, 300)),
    'EIO',
  );
  t.match(
    codeOf(() => store(mount.file, bytes, 300 * PAGE)),
    /^(EIO|ENOSPC)$/,
    'a write is refused',
  );
  t.equal(
    codeOf(() => store(mount.file, bytes, 10 * PAGE)),
    null,
    'what is left can be written',
  );
  t.ok(readPage(mount.file, 10).equals(bytes));
  await mount.umount();
});

t.test('cat and write end with the error, and say so', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 2 * MiB });
  const disk = await makeSmallDisk(t, pair.dir, MiB);
  const sparse = path.join(disk, 'sparse');
  fs.writeFileSync(sparse, '');
  fs.truncateSync(sparse, 2 * MiB);
  const volume = { ...pair, payload: sparse };
  const result = await luksfuse(['write', ...unlockArgs(volume), sparse], { input: randomBytes(2 * MiB) });
  t.equal(result.code, 4);
  t.match(result.stderr, /^luksfuse: write: .*ENOSPC/m);
  await mustRun('umount', [disk]);
});
