/**
 * What a supervisor sees to when the server dies, besides requests: what the file looks like, who waits for its end, when
 * enough is enough, and what happens when the supervisor itself dies.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { decryptPayload, makePair, type Pair } from '../kit/cryptsetup.js';
import { luksfuse, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { findHolders, isRunning, readProcFile, statusKiB, waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { killServer, statusOf } from '../kit/serving.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

const makeVolume = (t: Test) => makePair(t, { type: 'luks2', sizeBytes: 4 * MiB });

function writeAt(file: string, data: Buffer, offset: number): void {
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, data, 0, data.length, offset);
  fs.closeSync(fd);
}

/** Reads the plaintext again and again past the page cache, until it is killed or a read fails. */
function startReader(file: string) {
  const command = `while dd if='${file}' of=/dev/null bs=1M iflag=direct 2>/dev/null; do :; done`;
  const child = spawn('sh', ['-c', command], { stdio: 'ignore' });
  return { child, exited: once(child, 'exit') };
}

t.test('attributes, counters and how the file is open outlive the server', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { file, mountpoint } = await mountVolume(t, pair);
  const fd = fs.openSync(file, 'r+');
  fs.readSync(fd, Buffer.alloc(MiB), 0, MiB, 0);
  fs.chmodSync(file, 0o640);
  fs.utimesSync(file, 1000, 2000);
  const { activity } = await statusOf(mountpoint);
  const pid = await killServer(mountpoint);
  // Has the kernel ask for the attributes anew.
  fs.writeSync(fd, Buffer.alloc(512, 7), 0, 512, 0);
  const { mode, atimeMs } = fs.statSync(file);
  t.equal(mode & 0o777, 0o640);
  t.equal(atimeMs, 1_000_000);
  const now = await statusOf(mountpoint);
  t.ok(now.activity.readBytes >= activity.readBytes, 'counters go on');
  t.equal(now.pid, pid);

  // A direct write beside a buffered handle goes through the cache, so that it is seen there at once.
  const direct = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_DIRECT);
  const before = (await statusOf(mountpoint)).activity.readBytes;
  fs.readSync(fd, Buffer.alloc(MiB), 0, MiB, 0);
  t.equal(
    (await statusOf(mountpoint)).activity.readBytes,
    before,
    'what was read before is still in the cache',
  );
  fs.closeSync(direct);
  fs.closeSync(fd);
});

t.test('umount waits for the payload while servers die', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const model = Buffer.from(pair.plaintext);
  for (let round = 0; round < 3; round++) {
    const { file, mountpoint } = await mountVolume(t, pair);
    const data = Buffer.alloc(100_000, round + 1);
    writeAt(file, data, round * 1000);
    data.copy(model, round * 1000);
    const { pid } = await statusOf(mountpoint);
    const unmounting = luksfuse(['umount', mountpoint]);
    await delay(round * 150);
    if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    const { code, stderr } = await unmounting;
    t.equal(code, 0, stderr);
    t.strictSame(findHolders(pair.payload), [], 'nobody holds the payload any more');
    t.equal(findMount(mountpoint), null);
  }
  t.ok((await decryptPayload(pair)).equals(model), 'all that was written is in the payload');
});

/** The server, or the process that is about to be one. */
function serversOf(supervisorPid: number): number[] {
  try {
    const children = fs.readFileSync(`/proc/${supervisorPid}/task/${supervisorPid}/children`, 'utf8');
    const pids = children.split(' ').map(Number);
    return pids.filter((pid) => readProcFile(pid, 'cmdline').includes('server-main.js'));
  } catch {
    return []; // it has just ended
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

t.test('servers that die one after the other are given up, and nobody hangs', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { file, mountpoint } = await mountVolume(t, pair);
  const { supervisorPid } = await statusOf(mountpoint);
  const reader = startReader(file);
  t.teardown(() => reader.child.kill('SIGKILL'));
  for (let tries = 0; isRunning(supervisorPid!) && tries < 2000; tries++) {
    serversOf(supervisorPid!).forEach(tryKill);
    await delay(10);
  }
  t.notOk(isRunning(supervisorPid!), 'the supervisor has ended');
  await reader.exited;
  t.equal(findMount(mountpoint), null);
  t.strictSame(findHolders(pair.payload), []);
  const again = await mountVolume(t, pair, { mountpoint });
  t.ok(fs.readFileSync(again.file).equals(pair.plaintext));
});

t.test('without its supervisor the server goes on alone', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { file, mountpoint } = await mountVolume(t, pair);
  const { pid, supervisorPid } = await statusOf(mountpoint);
  process.kill(supervisorPid!, 'SIGKILL');
  await waitUntil('the supervisor is dead', () => !isRunning(supervisorPid!));
  t.ok(fs.readFileSync(file).equals(pair.plaintext));
  let info = await luksfuse(['status', '--json', mountpoint]);
  for (let tries = 0; info.code !== 0 && tries < 20; tries++) {
    await delay(50);
    info = await luksfuse(['status', '--json', mountpoint]);
  }
  t.match(JSON.parse(info.stdout.toString()), { pid, supervisorPid: null });
  t.equal((await luksfuse(['upgrade', mountpoint])).code, 4);
  await mustLuksfuse(['umount', mountpoint]);
  t.strictSame(findHolders(pair.payload), []);
});

t.test('signals to either process unmount', { skip }, async (t) => {
  const pair = await makeVolume(t);
  for (const which of ['pid', 'supervisorPid'] as const) {
    const { mountpoint } = await mountVolume(t, pair);
    process.kill((await statusOf(mountpoint))[which]!, 'SIGTERM');
    await waitUntil('it is unmounted and closed', () => findHolders(pair.payload).length === 0);
    t.equal(findMount(mountpoint), null);
  }
});

t.test('both processes keep the key to themselves', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { mountpoint } = await mountVolume(t, pair);
  await killServer(mountpoint);
  const volumeKey = fs.readFileSync(pair.volumeKeyFile);
  const { pid, supervisorPid } = await statusOf(mountpoint);
  for (const process of [pid, supervisorPid!]) {
    t.ok(statusKiB(process, 'VmLck') > 0, 'it lies in locked memory');
    t.match(readProcFile(process, 'limits').toString(), /Max core file size\s+0\s+0/);
    for (const place of ['cmdline', 'environ'] as const) {
      const bytes = readProcFile(process, place);
      const spellings = [volumeKey, Buffer.from(volumeKey.toString('hex')), pair.passphrase];
      t.notOk(
        spellings.some((spelling) => bytes.includes(spelling)),
        `not in ${place}`,
      );
    }
  }
});

/** A mount as on a kernel that does not resend. */
async function mountWithoutResend(t: Test, pair: Pair) {
  const hook = new URL('./without-resend.js', import.meta.url).href;
  const mountpoint = fs.mkdtempSync(path.join(pair.dir, 'mountpoint-'));
  const args = ['mount', '--header', pair.headerFile, '--key-file', pair.keyFile, pair.payload, mountpoint];
  await mustLuksfuse(args, { hook });
  t.teardown(() => findMount(mountpoint) && luksfuse(['umount', '--lazy', mountpoint]));
  return { mountpoint, file: path.join(mountpoint, 'payload') };
}

t.test('where the kernel does not resend, requests fail and the mount lives', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { file, mountpoint } = await mountWithoutResend(t, pair);
  for (let round = 0; round < 2; round++) {
    const readers = [startReader(file), startReader(file)];
    await delay(200);
    await killServer(mountpoint);
    t.ok(fs.readFileSync(file).equals(pair.plaintext), 'it is served on');
    for (const { child, exited } of readers) {
      child.kill('SIGKILL');
      await exited;
    }
  }
  const { code, stderr } = await luksfuse(['upgrade', mountpoint]);
  t.equal(code, 4);
  t.match(stderr, /Linux 6\.9/);
  await mustLuksfuse(['umount', mountpoint]);
});
