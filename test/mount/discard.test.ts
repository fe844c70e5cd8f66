/**
 * `mount --allow-discards`: what is discarded becomes holes in the payload, only where that was allowed, and nothing
 * beside it changes.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocateSync } from '../../lib/native/file.js';
import { decryptPayload, makePair } from '../kit/cryptsetup.js';
import { attachLoop } from '../kit/loop.js';
import { luksfuse, mountVolume, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';
import { makeVolume, type Volume } from '../kit/volume.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const loopSkip =
  skip || skipUnless({ loop: true, tools: ['losetup', 'mkfs.ext4', 'fsck.ext4', 'fstrim', 'mount'] });

function punch(file: string, offset: number, length: number): unknown {
  const fd = fs.openSync(file, 'r+');
  try {
    fallocateSync(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    fs.closeSync(fd);
  }
}

const spaceBytes = (file: string) => fs.statSync(file).blocks * 512;

/** `bytes` between the two edges is not compared. */
function isSameAround(one: Buffer, other: Buffer, start: number, end: number): boolean {
  return (
    one.subarray(0, start).equals(other.subarray(0, start)) && one.subarray(end).equals(other.subarray(end))
  );
}

t.test("a hole, through cryptsetup's eyes too", { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 4 * MiB, sectorSizeBytes: 4096 });
  const mount = await mountVolume(t, pair, { args: ['--allow-discards'] });
  const before = spaceBytes(pair.payload);
  const [start, end] = [MiB + 100, 3 * MiB + 300];
  t.equal(punch(mount.file, start, end - start), undefined);
  t.ok(before - spaceBytes(pair.payload) >= 2 * MiB - 2 * 4096, 'the payload takes less space');
  t.equal(fs.statSync(mount.file).size, 4 * MiB);
  await mount.umount();

  const again = await mountVolume(t, pair, { args: ['--read-only'] });
  const seen = fs.readFileSync(again.file);
  t.ok(isSameAround(seen, pair.plaintext, start, end), 'what is around it is unchanged');
  const aligned = 3 * MiB; // whole sectors end here
  t.ok(
    seen.subarray(aligned, end).every((byte) => byte === 0),
    'a part of a sector at its edge is zeros',
  );
  await again.umount();
  const theirs = await decryptPayload(pair);
  t.ok(theirs.equals(seen), 'cryptsetup reads the same, noise in the hole included');
});

async function punchedIs(t: Test, volume: Volume, args: readonly string[]): Promise<unknown> {
  const mount = await mountVolume(t, volume, { args });
  const result = punch(mount.file, 0, MiB);
  const status = JSON.parse((await mustLuksfuse(['status', '--json', mount.mountpoint])).stdout.toString());
  t.equal(status.allowsDiscards, result === undefined, 'status says the same');
  await mount.umount();
  return result;
}

t.test('only where it was allowed: by option, by -o, or by the flag in the header', { skip }, async (t) => {
  const volume = await makeVolume(t, 2 * MiB);
  t.equal(await punchedIs(t, volume, []), 'ENOTSUP');
  t.equal(await punchedIs(t, volume, ['-o', 'discard']), undefined);
  t.equal(await punchedIs(t, volume, ['-o', 'allow_discards']), undefined);
  await mustLuksfuse(['config', '--flag', 'allow-discards', volume.header]);
  t.equal(await punchedIs(t, volume, []), undefined, 'as cryptsetup --persistent leaves it');
});

t.test('LUKS1 too, and not with fuse-native', { skip }, async (t) => {
  const volume = await makeVolume(t, 2 * MiB, ['--type', 'luks1']);
  t.equal(await punchedIs(t, volume, ['--allow-discards']), undefined);
  const mountpoint = path.join(volume.dir, 'native');
  fs.mkdirSync(mountpoint);
  const args = ['--driver', 'fuse-native', '--allow-discards', ...unlockArgs(volume)];
  const { code, stderr } = await luksfuse(['mount', ...args, volume.payload, mountpoint]);
  t.equal(code, 1);
  t.match(stderr, /no discards; use --driver dev-fuse/);
});

t.test('a payload on a block device', { skip: loopSkip }, async (t) => {
  const volume = await makeVolume(t, 4 * MiB);
  const device = await attachLoop(t, volume.payload);
  const mountpoint = path.join(volume.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  const mount = await mountVolume(
    t,
    { ...volume, payload: device },
    { mountpoint, args: ['--allow-discards'] },
  );
  fs.writeFileSync(mount.file, Buffer.alloc(4 * MiB, 'x'), { flag: 'rs+' });
  const before = spaceBytes(volume.payload);
  t.equal(punch(mount.file, MiB, 2 * MiB), undefined);
  await mount.umount();
  t.equal(before - spaceBytes(volume.payload), 2 * MiB, 'the discard went through to what is behind it');
});

t.test('fstrim of a file system on a loop device', { skip: loopSkip }, async (t) => {
  const volume = await makeVolume(t, 32 * MiB);
  const mount = await mountVolume(t, volume, { args: ['--allow-discards'] });
  const script = `
    mkfs.ext4 -q -F -E nodiscard "$1"
    mkdir "$2" && mount -o loop "$1" "$2"
    trap 'umount -l "$2"' EXIT
    head -c 10000000 /dev/urandom > "$2/gone"
    head -c 3000000 /dev/urandom > "$2/kept"
    sync && rm "$2/gone" && sync
    stat -c %b "$3"
    fstrim "$2" && umount "$2"
    trap - EXIT
    fsck.ext4 -fn "$1" >&2`;
  const args = [mount.file, path.join(volume.dir, 'ext4'), volume.payload];
  const { stdout } = await mustRun('sh', ['-ec', script, 'sh', ...args]);
  const beforeBytes = Number.parseInt(stdout.toString(), 10) * 512;
  t.ok(
    beforeBytes - spaceBytes(volume.payload) > 8 * MiB,
    'what the file system does not use was given back',
  );
  await mount.umount();
});
