/**
 * A loop device on the mounted file, with direct I/O and without, and ext4 on it: what a user does with a
 * decrypted disk. The file system must be whole on the device, after a remount, and in cryptsetup's eyes.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { decryptPayload, makePair } from '../kit/cryptsetup.js';
import { mountVolume } from '../kit/luksfuse.js';
import { findMount, listLoops } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';

const MiB = 1024 * 1024;
const skip = skipUnless({
  root: true,
  fuse: true,
  loop: true,
  tools: ['cryptsetup', 'losetup', 'mkfs.ext4', 'fsck.ext4'],
});

/** A loop device on `file`, detached at the teardown of `t` where the test has not. */
async function attachLoop(t: Test, file: string, directIo: 'on' | 'off') {
  const args = ['--show', '--find', `--direct-io=${directIo}`, file];
  const device = (await mustRun('losetup', args)).stdout.toString().trim();
  // The number may belong to somebody else's file by the time of the teardown.
  const isAttached = () => listLoops().some((loop) => loop.device === device && loop.file === file);
  const detach = () => mustRun('losetup', ['--detach', device]);
  t.teardown(async () => isAttached() && (await detach()));
  return { device, detach };
}

async function mountDevice(t: Test, device: string, dir: string): Promise<() => Promise<unknown>> {
  fs.mkdirSync(dir, { recursive: true });
  await mustRun('mount', ['-t', 'ext4', device, dir]);
  t.teardown(async () => findMount(dir) && (await run('umount', ['-l', dir])));
  return () => mustRun('umount', [dir]);
}

/** Files of all sizes, some removed again; returns what must be there. */
function fillDirectory(dir: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let i = 0; i < 120; i += 1) {
    const name = path.join(dir, `d${i % 7}`, `f${i}`);
    const bytes = randomBytes(i % 10 === 0 ? 900_000 : 37 * i);
    fs.mkdirSync(path.dirname(name), { recursive: true });
    fs.writeFileSync(name, bytes);
    files.set(name, bytes);
  }
  for (const name of [...files.keys()].filter((_, i) => i % 3 === 0)) {
    fs.rmSync(name);
    files.delete(name);
  }
  return files;
}

for (const directIo of ['on', 'off'] as const) {
  for (const sectorSizeBytes of [512, 4096]) {
    t.test(`direct I/O ${directIo}, sectors of ${sectorSizeBytes}`, { skip }, async (t) => {
      const pair = await makePair(t, { type: 'luks2', sectorSizeBytes, sizeBytes: 32 * MiB });
      const dir = path.join(pair.dir, 'ext4');
      const mount = await mountVolume(t, pair);
      const loop = await attachLoop(t, mount.file, directIo);
      await mustRun('mkfs.ext4', ['-q', '-F', loop.device]);
      const umountFirst = await mountDevice(t, loop.device, dir);
      const files = fillDirectory(dir);
      await umountFirst();
      t.equal((await run('fsck.ext4', ['-fn', loop.device])).code, 0, 'fsck finds it clean');
      await loop.detach();
      await mount.umount();

      const again = await mountVolume(t, pair);
      const loopAgain = await attachLoop(t, again.file, directIo);
      const umountSecond = await mountDevice(t, loopAgain.device, dir);
      for (const [name, bytes] of files) {
        if (!fs.readFileSync(name).equals(bytes)) t.fail(`${name} has changed`);
      }
      await umountSecond();
      await loopAgain.detach();
      await again.umount();

      const image = path.join(pair.dir, 'image');
      fs.writeFileSync(image, await decryptPayload(pair));
      t.equal((await run('fsck.ext4', ['-fn', image])).code, 0, 'cryptsetup decrypts a clean file system');
    });
  }
}
