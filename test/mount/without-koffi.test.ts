/**
 * Mounts where no C function can be called: root's are served by node:fs, alone and one request at a time, and what such a
 * mount lacks is said; a second writer is kept away all the same.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { decryptPayload, makePair } from '../kit/cryptsetup.js';
import { attachLoop } from '../kit/loop.js';
import { clearMount, luksfuse, mustLuksfuse, unlockArgs, type VolumeArgs } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { editAtRandom } from '../kit/payload-edits.js';
import { seededRandom } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { luksfuseWithout, mustLuksfuseWithout } from '../kit/without-koffi.js';

const MiB = 1024 * 1024;
const NEEDS = { root: true, fuse: true, tools: ['cryptsetup', 'perl'] };
const skip = skipUnless(NEEDS);

async function mountWithout(t: Test, volume: VolumeArgs, mountpoint: string): Promise<string> {
  const { stderr } = await mustLuksfuseWithout(['mount', ...unlockArgs(volume), volume.payload, mountpoint]);
  t.teardown(() => clearMount(mountpoint));
  t.match(stderr, /^luksfuse: warning: the package koffi.*nobody supervises.*neither from swap nor.*\n$/);
  return fs.statSync(mountpoint).isDirectory() ? path.join(mountpoint, 'payload') : mountpoint;
}

for (const isOnFile of [false, true]) {
  t.test(`a mount on a ${isOnFile ? 'file' : 'directory'}`, { skip }, async (t) => {
    const random = seededRandom((line) => t.comment(line));
    const pair = await makePair(t, { type: 'luks2', sizeBytes: 3 * MiB });
    const mountpoint = path.join(pair.dir, 'mountpoint');
    if (isOnFile) fs.writeFileSync(mountpoint, '');
    else fs.mkdirSync(mountpoint);
    const file = await mountWithout(t, pair, mountpoint);
    t.ok(fs.readFileSync(file).equals(pair.plaintext));
    const model = Buffer.from(pair.plaintext);
    editAtRandom(file, model, random, 60);
    t.ok(fs.readFileSync(file).equals(model));
    const fd = fs.openSync(file, 'r+');
    fs.fsyncSync(fd);
    fs.closeSync(fd);

    const status = JSON.parse(
      (await mustLuksfuseWithout(['status', '--json', mountpoint])).stdout.toString(),
    );
    t.match(status, { driver: 'dev-fuse', engine: 'node-crypto', supervisorPid: null });
    const upgrade = await luksfuseWithout(['upgrade', mountpoint]);
    t.equal(upgrade.code, 4);
    t.match(upgrade.stderr, /must be unmounted to be upgraded: nobody supervises it/);
    t.match((await mustLuksfuseWithout(['attach', '--print', mountpoint])).stdout.toString(), /virtio-blk/);
    await mustLuksfuseWithout(['umount', mountpoint]);
    t.equal(findMount(mountpoint), null);
    t.ok((await decryptPayload(pair)).equals(model), 'cryptsetup decrypts what was written');
  });
}

t.test('one writer', { skip: skip || skipUnless({ tools: ['qemu-io'] }) }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const mountpoint = path.join(pair.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  await mountWithout(t, pair, mountpoint);
  const cat = ['cat', ...unlockArgs(pair), pair.payload];
  const refused = { code: 5, stderr: /is being written by process \d+/ };
  t.match(await luksfuseWithout(cat), refused, 'refused to one that is like it');
  t.match(await luksfuse(cat), refused, 'refused to one that has koffi');
  const { code, stderr } = await run('qemu-io', ['-f', 'raw', '-c', 'write 0 512', pair.payload]);
  t.not(code, 0);
  t.match(stderr, /lock/, 'refused to QEMU');
  const format = ['format', '--header', pair.headerFile, '--key-file', pair.keyFile, '--batch-mode'];
  t.match(await luksfuse([...format, pair.payload]), { code: 5 }, 'its header is not made anew');
  await mustLuksfuseWithout(['umount', mountpoint]);

  await mustLuksfuse(['mount', ...unlockArgs(pair), pair.payload, mountpoint]);
  t.teardown(() => clearMount(mountpoint));
  t.match(await luksfuseWithout(cat), refused, 'sees who has koffi');
  await mustLuksfuse(['umount', mountpoint]);
});

t.test('a block device', { skip: skip || skipUnless({ loop: true }) }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const device = await attachLoop(t, pair.payload);
  const mountpoint = path.join(pair.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  const file = await mountWithout(t, { ...pair, payload: device }, mountpoint);
  t.ok(fs.readFileSync(file).equals(pair.plaintext));
  const end = randomBytes(700);
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, end, 0, end.length, MiB - end.length);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  end.copy(pair.plaintext, MiB - end.length);
  await mustLuksfuseWithout(['umount', mountpoint]);
  t.ok((await decryptPayload(pair)).equals(pair.plaintext));
});

t.test('what it cannot do is refused', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const mountpoint = path.join(pair.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  const mount = ['mount', ...unlockArgs(pair), '--allow-discards', pair.payload, mountpoint];
  const { code, stderr } = await luksfuseWithout(mount);
  t.equal(code, 4);
  t.match(stderr, /discards need the package koffi.*leave --allow-discards out/);

  await mustLuksfuse(['config', '--flag', 'allow-discards', pair.headerFile]);
  const file = await mountWithout(t, pair, mountpoint);
  t.match(await run('fallocate', ['--punch-hole', '--length', '4096', file]), {
    code: 1,
    stderr: /supported/,
  });
  t.match(await run('fallocate', ['--length', '4096', file]), { code: 1, stderr: /supported/ });
  t.match(await run('fallocate', ['--zero-range', '--length', '4096', file]), { code: 0 });
  const online = await luksfuseWithout([
    'reencrypt',
    '--online',
    '--batch-mode',
    '--key-file',
    pair.keyFile,
    mountpoint,
  ]);
  t.equal(online.code, 4);
  t.match(online.stderr, /not supervised, and only a supervised mount can be reencrypted/);
  await mustLuksfuseWithout(['umount', mountpoint]);
});

t.test('many readers at once', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 3 * MiB });
  const mountpoint = path.join(pair.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  const file = await mountWithout(t, pair, mountpoint);
  const read = async () => {
    const handle = await fs.promises.open(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
    const found = Buffer.alloc(pair.plaintext.length);
    for (let at = 0; at < found.length; at += 4096) await handle.read(found, at, 4096, at);
    await handle.close();
    return found.equals(pair.plaintext);
  };
  t.strictSame(await Promise.all(Array.from({ length: 4 }, read)), [true, true, true, true]);
  await mustLuksfuseWithout(['umount', mountpoint]);
});
