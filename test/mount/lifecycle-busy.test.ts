/**
 * What is in use is refused, with exit code 5, and nothing about the first user changes.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { clearMount, luksfuse, mountInForeground, mountVolume, unlockArgs } from '../kit/luksfuse.js';
import { findMount, listMounts } from '../kit/mounts.js';
import { findHolders, isRunning, requireHolder, waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

const makeVolume = (t: Test) => makePair(t, { type: 'luks2', sizeBytes: MiB });

t.test('a second mount on the same mountpoint', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const other = await makeVolume(t);
  const mount = await mountVolume(t, pair);
  const result = await luksfuse(['mount', ...unlockArgs(other), other.payload, mount.mountpoint]);
  t.equal(result.code, 5, result.stderr);
  t.equal(listMounts().filter((entry) => entry.mountpoint === mount.mountpoint).length, 1);
  t.strictSame(findHolders(other.payload), [], 'no daemon was left for it');
  t.ok(fs.readFileSync(mount.file).equals(pair.plaintext), 'the first mount serves on');
});

t.test('a second writable mount of the same payload', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const mount = await mountVolume(t, pair);
  const second = path.join(pair.dir, 'second');
  fs.mkdirSync(second);
  t.teardown(() => clearMount(second));
  const result = await luksfuse(['mount', ...unlockArgs(pair), pair.payload, second]);
  t.equal(result.code, 5, result.stderr);
  t.equal(findMount(second), null);
  t.ok(fs.readFileSync(mount.file).equals(pair.plaintext), 'the first mount serves on');
});

t.test('umount while the file is open', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const mount = await mountVolume(t, pair);
  const daemon = requireHolder(pair.payload);
  const fd = fs.openSync(mount.file, 'r+');
  t.teardown(() => fs.closeSync(fd));
  const refused = await luksfuse(['umount', mount.mountpoint]);
  t.equal(refused.code, 5, refused.stderr);
  t.ok(findMount(mount.mountpoint), 'it is still mounted');

  t.equal((await luksfuse(['umount', '--lazy', mount.mountpoint])).code, 0);
  t.equal(findMount(mount.mountpoint), null, 'detached');
  fs.writeSync(fd, Buffer.from('still served'), 0, 12, 0);
  const seen = Buffer.alloc(12);
  fs.readSync(fd, seen, 0, 12, 0);
  t.equal(seen.toString(), 'still served', 'who has it open may go on');
  t.ok(isRunning(daemon));
});

t.test('the daemon of a lazy umount ends with the last user', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const mount = await mountVolume(t, pair);
  const daemon = requireHolder(pair.payload);
  const fd = fs.openSync(mount.file, 'r+');
  fs.writeSync(fd, Buffer.from('late'), 0, 4, 0);
  await luksfuse(['umount', '--lazy', mount.mountpoint]);
  fs.closeSync(fd);
  await waitUntil('the daemon ends', () => !isRunning(daemon));
  const again = await mountVolume(t, pair, { args: ['--read-only'] });
  t.equal(fs.readFileSync(again.file).toString('latin1', 0, 4), 'late');
});

t.test('umount of what is not ours', { skip }, async (t) => {
  const dir = makeTempDir(t);
  const nothing = await luksfuse(['umount', dir]);
  t.equal(nothing.code, 1, nothing.stderr);
  await mustRun('mount', ['-t', 'tmpfs', 'tmpfs', dir]);
  t.teardown(() => run('umount', [dir]));
  const foreign = await luksfuse(['umount', dir]);
  t.equal(foreign.code, 1, foreign.stderr);
  t.equal(findMount(dir)?.type, 'tmpfs', 'the other mount is still there');
});

t.test("the payload's own errors reach the writer", { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 4 * MiB });
  const small = path.join(pair.dir, 'small');
  fs.mkdirSync(small);
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]);
  t.teardown(() => run('umount', ['-l', small]));
  const payload = path.join(small, 'payload');
  fs.writeFileSync(payload, '');
  fs.truncateSync(payload, 4 * MiB);
  const mountpoint = path.join(pair.dir, 'mountpoint');
  fs.mkdirSync(mountpoint);
  const mount = await mountVolume(t, { ...pair, payload }, { mountpoint });
  const fd = fs.openSync(mount.file, fs.constants.O_RDWR | fs.constants.O_DIRECT);
  const writeAll = () => {
    for (let at = 0; at < 4 * MiB; at += MiB) fs.writeSync(fd, Buffer.alloc(MiB, 7), 0, MiB, at);
  };
  t.throws(writeAll, { code: 'ENOSPC' });
  fs.closeSync(fd);
  t.equal(fs.readFileSync(mount.file).length, 4 * MiB, 'and the mount serves on');
  await luksfuse(['umount', mountpoint]);
});

t.test('a signal unmounts when the last user has closed the file, in the background', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const mount = await mountVolume(t, pair);
  const fd = fs.openSync(mount.file, 'r');
  for (const pid of findHolders(pair.payload)) process.kill(pid, 'SIGTERM');
  await delay(2000);
  t.ok(findMount(mount.mountpoint), 'it is in use');
  t.equal(fs.readSync(fd, Buffer.alloc(512), 0, 512, 0), 512);
  fs.closeSync(fd);
  await waitUntil('it is unmounted and closed', () => findHolders(pair.payload).length === 0);
  t.equal(findMount(mount.mountpoint), null);
});

t.test('a signal unmounts when the last user has closed the file, in the foreground', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { child, mountpoint } = await mountInForeground(t, pair);
  const fd = fs.openSync(path.join(mountpoint, 'payload'), 'r');
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await delay(2000);
  t.ok(findMount(mountpoint), 'it is in use');
  fs.closeSync(fd);
  t.strictSame(await exit, [0, null]);
  t.equal(findMount(mountpoint), null);
});
