/**
 * The daemon of a mount that nobody supervises is killed while ext4 on a loop device over it is written: after a new mount
 * and the journal's replay the file system is clean, and every file that was fsynced is whole.
 * `node daemon-killed.test.js 200` does so 200 times.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { makePair, type Pair } from '../kit/cryptsetup.js';
import { clearMount, luksfuse, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { findMount, listLoops } from '../kit/mounts.js';
import { waitUntil } from '../kit/processes.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';
import { statusOf } from '../kit/serving.js';
import { contentOf } from './synced-files.js';

const MiB = 1024 * 1024;
const ROUNDS = Number(process.argv[2] ?? 4);
const tools = ['cryptsetup', 'losetup', 'mkfs.ext4', 'fsck.ext4'];
const skip = skipUnless({ root: true, fuse: true, loop: true, tools });
const random = new Random(Number(process.env.SEED ?? 1));
const WRITER = fileURLToPath(new URL('./synced-files.js', import.meta.url));

t.setTimeout(60_000 + ROUNDS * 10_000);

interface Disk {
  device: string;
  dir: string;
}

/** Mounts the volume, and ext4 from a loop device on its file. */
async function openDisk(pair: Pair, mountpoint: string, dir: string, isNew: boolean): Promise<Disk> {
  await mustLuksfuse(['mount', '--no-supervise', ...unlockArgs(pair), pair.payload, mountpoint]);
  const attach = ['--find', '--show', '--direct-io=on', path.join(mountpoint, 'payload')];
  const device = (await mustRun('losetup', attach)).stdout.toString().trim();
  if (isNew) await mustRun('mkfs.ext4', ['-q', device]);
  await mustRun('mount', ['-t', 'ext4', device, dir]);
  return { device, dir };
}

/** Takes all of it down, whatever state it is in. */
async function closeDisk({ device, dir }: Disk, mountpoint: string): Promise<void> {
  if (findMount(dir)) await run('umount', [dir]);
  // The number may belong to somebody else's file by then.
  const file = path.join(mountpoint, 'payload');
  if (listLoops().some((loop) => loop.device === device && loop.file === file))
    await run('losetup', ['--detach', device]);
  await clearMount(mountpoint);
}

/** Starts the program that writes and syncs files; the names of those that are synced are collected. */
function startWriter(dir: string, round: number): { child: ChildProcess; synced: string[] } {
  const child = spawn(process.execPath, [WRITER, dir, `${round}`], { stdio: ['ignore', 'pipe', 'ignore'] });
  const synced: string[] = [];
  let text = '';
  child.stdout!.on('data', (bytes: Buffer) => {
    const lines = (text + bytes.toString()).split('\n');
    text = lines.pop()!;
    synced.push(...lines);
  });
  return { child, synced };
}

async function killWhileWriting(t: Test, disk: Disk, mountpoint: string, round: number): Promise<string[]> {
  const { pid } = await statusOf(mountpoint);
  const { child, synced } = startWriter(disk.dir, round);
  t.teardown(() => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  await waitUntil('files are synced', () => synced.length > 1);
  await delay(random.between(0, 1300));
  process.kill(pid, 'SIGKILL');
  await closed;
  return synced;
}

t.test(`${ROUNDS} times`, { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 64 * MiB });
  const [mountpoint, dir] = ['mountpoint', 'ext4'].map((name) => path.join(pair.dir, name)) as [
    string,
    string,
  ];
  fs.mkdirSync(mountpoint);
  fs.mkdirSync(dir);
  let disk = await openDisk(pair, mountpoint, dir, true);
  t.teardown(() => closeDisk(disk, mountpoint));
  let count = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const synced = await killWhileWriting(t, disk, mountpoint, round);
    await closeDisk(disk, mountpoint);
    disk = await openDisk(pair, mountpoint, dir, false);
    for (const name of synced) {
      const isWhole = fs.readFileSync(path.join(dir, name)).equals(contentOf(name));
      if (!isWhole) t.fail(`round ${round}: ${name} was fsynced and is not what was written`);
    }
    count += synced.length;
    await mustRun('umount', [dir]);
    const { code, stdout } = await run('fsck.ext4', ['-fn', disk.device]);
    if (code !== 0) t.fail(`round ${round}: fsck says ${stdout}`);
    await mustRun('mount', ['-t', 'ext4', disk.device, dir]);
    for (const name of fs.readdirSync(dir)) if (/^[fg]/.test(name)) fs.rmSync(path.join(dir, name));
  }
  t.ok(count > ROUNDS, `${count} files were fsynced before the daemon died, and are whole`);
  await mustRun('umount', [dir]);
  await mustRun('losetup', ['--detach', disk.device]);
  t.equal((await luksfuse(['umount', mountpoint])).code, 0);
});
