/**
 * From `mount` to `umount`: what is true when each of them returns, in the background and in the foreground,
 * and when the daemon dies between them.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { decryptPayload, makePair, type Pair } from '../kit/cryptsetup.js';
import { clearMount, luksfuse, mountInForeground, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { findHolders, isRunning, requireHolder, waitUntil } from '../kit/processes.js';
import { sha256 } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

const makeVolume = (t: Test) => makePair(t, { type: 'luks1', sizeBytes: 2 * MiB });

/** Writes through the page cache and leaves it to the unmount to bring it to the payload. */
function dirty(file: string, pair: Pair): Buffer {
  const model = Buffer.from(pair.plaintext);
  const data = randomBytes(300_001);
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, data, 0, data.length, 12_345);
  fs.closeSync(fd);
  data.copy(model, 12_345);
  return model;
}

t.test('mount on a directory', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const mount = await mountVolume(t, pair);
  t.strictSame(fs.readdirSync(mount.mountpoint), ['payload'], 'it answers at once, with one file');
  const stat = fs.statSync(mount.file);
  t.ok(stat.isFile());
  t.equal(stat.mode & 0o7777, 0o600);
  t.equal(stat.size, pair.plaintext.length);
  const model = dirty(mount.file, pair);
  await mount.umount();
  t.strictSame(findHolders(pair.payload), [], 'nobody holds the payload when umount returns');
  t.equal(findMount(mount.mountpoint), null);
  t.strictSame(fs.readdirSync(mount.mountpoint), []);
  t.ok((await decryptPayload(pair)).equals(model), 'all that was written is in the payload');
});

t.test('mount on a regular file', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const mountpoint = path.join(pair.dir, 'plain');
  fs.writeFileSync(mountpoint, 'what was here before');
  const mount = await mountVolume(t, pair, { mountpoint });
  t.equal(mount.file, mountpoint);
  t.ok(fs.readFileSync(mountpoint).equals(pair.plaintext), 'the path itself is the plaintext');
  const model = dirty(mountpoint, pair);
  await mount.umount();
  t.equal(fs.readFileSync(mountpoint, 'utf8'), 'what was here before', 'the file beneath is as it was');
  t.ok((await decryptPayload(pair)).equals(model));
});

t.test('name, owner and mode of the file', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const args = ['--name', 'disk.img', '--uid', '12', '--gid', '34', '--mode', '0640'];
  const { mountpoint } = await mountVolume(t, pair, { args });
  t.strictSame(fs.readdirSync(mountpoint), ['disk.img']);
  const { uid, gid, mode } = fs.statSync(path.join(mountpoint, 'disk.img'));
  t.strictSame({ uid, gid, mode: mode & 0o7777 }, { uid: 12, gid: 34, mode: 0o640 });
});

t.test('read-only mount', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const before = sha256(fs.readFileSync(pair.payload));
  const mount = await mountVolume(t, pair, { args: ['--read-only'] });
  t.ok(fs.readFileSync(mount.file).equals(pair.plaintext));
  t.throws(() => fs.openSync(mount.file, 'r+'), { code: 'EROFS' }, 'opening it to write is refused');
  t.throws(() => fs.truncateSync(mount.file, 0), { code: 'EROFS' });
  t.ok(findMount(mount.mountpoint)?.options.includes('ro'));
  const daemon = requireHolder(pair.payload);
  const fds = fs.readdirSync(`/proc/${daemon}/fd`).filter((fd) => {
    return fs.readlinkSync(`/proc/${daemon}/fd/${fd}`) === fs.realpathSync(pair.payload);
  });
  const flags = fds.map((fd) =>
    /^flags:\s+0*(\d+)/m.exec(fs.readFileSync(`/proc/${daemon}/fdinfo/${fd}`, 'utf8')),
  );
  t.ok(
    flags.every((match) => (Number.parseInt(match![1]!, 8) & 3) === fs.constants.O_RDONLY),
    'the daemon itself has the payload open for reading only',
  );
  await mount.umount();
  t.equal(sha256(fs.readFileSync(pair.payload)), before);
});

t.test('relative paths', { skip }, async (t) => {
  const pair = await makeVolume(t);
  fs.mkdirSync(path.join(pair.dir, 'here'));
  t.teardown(() => clearMount(path.join(pair.dir, 'here')));
  const args = ['--header', 'header', '--key-file', 'key', 'payload', 'here'];
  await mustLuksfuse(['mount', ...args], { cwd: pair.dir });
  t.ok(fs.readFileSync(path.join(pair.dir, 'here/payload')).equals(pair.plaintext));
  await mustLuksfuse(['umount', 'here/'], { cwd: pair.dir });
  t.equal(findMount(path.join(pair.dir, 'here')), null);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`foreground mount, ${signal}`, { skip }, async (t) => {
    const pair = await makeVolume(t);
    const { child, mountpoint } = await mountInForeground(t, pair);
    const model = dirty(path.join(mountpoint, 'payload'), pair);
    const exit = once(child, 'exit');
    child.kill(signal);
    t.strictSame(await exit, [0, null], 'it ends well');
    t.equal(findMount(mountpoint), null, 'it is unmounted');
    t.ok((await decryptPayload(pair)).equals(model), 'all that was written is in the payload');
  });
}

t.test('umount ends a foreground mount', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { child, mountpoint } = await mountInForeground(t, pair);
  const exit = once(child, 'exit');
  await mustLuksfuse(['umount', mountpoint]);
  t.strictSame(await exit, [0, null]);
});

t.test("the system's own umount ends the daemon", { skip }, async (t) => {
  const pair = await makeVolume(t);
  const mount = await mountVolume(t, pair);
  const daemon = requireHolder(pair.payload);
  const model = dirty(mount.file, pair);
  t.equal((await run('umount', [mount.mountpoint])).code, 0);
  await waitUntil('the daemon ends', () => !isRunning(daemon));
  t.ok((await decryptPayload(pair)).equals(model));
});

t.test(
  'a killed daemon that nobody supervises leaves a stale mount, which umount clears',
  { skip },
  async (t) => {
    const pair = await makeVolume(t);
    const mount = await mountVolume(t, pair, { args: ['--no-supervise'] });
    process.kill(requireHolder(pair.payload), 'SIGKILL');
    await waitUntil('the payload is released', () => findHolders(pair.payload).length === 0);
    t.throws(() => fs.readdirSync(mount.mountpoint), { code: /^(ENOTCONN|ECONNABORTED)$/ });
    t.equal((await luksfuse(['umount', mount.mountpoint])).code, 0);
    t.equal(findMount(mount.mountpoint), null);
    const again = await mountVolume(t, pair, { mountpoint: mount.mountpoint });
    t.ok(fs.readFileSync(again.file).equals(pair.plaintext));
  },
);
