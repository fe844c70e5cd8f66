/**
 * A mount under mixed load for a set time, SOAK_SECONDS or a few of them: fio that verifies what it wrote, programs that
 * open and close the file, and a loop device with ext4 on which repositories are cloned and removed. Nothing fails, and
 * the daemon is as large at the end as it was when all had begun: memory, descriptors, threads.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { mountVolume } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { listOpenFiles, readProcFile, requireHolder, statusKiB, waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';

const MiB = 1024 * 1024;
const SECONDS = Number(process.env.SOAK_SECONDS ?? 12);
const FIO_BYTES = 48 * MiB;
const LOOP_BYTES = 64 * MiB;
/** What V8's heaps come and go by. */
const RSS_SLACK_KIB = 40 * 1024;
const OPENERS = 20;
const skip = skipUnless({
  root: true,
  fuse: true,
  loop: true,
  tools: ['cryptsetup', 'losetup', 'mkfs.ext4', 'fsck.ext4', 'fio', 'git'],
});

interface Size {
  rssKiB: number;
  fds: number;
  threads: number;
}

function sizeOf(pid: number): Size {
  const threads = /^Threads:\s*(\d+)/m.exec(readProcFile(pid, 'status').toString())?.[1];
  return { rssKiB: statusKiB(pid, 'VmRSS'), fds: listOpenFiles(pid).length, threads: Number(threads) };
}

/** Asynchronous work over and over, until the time is up. */
async function repeat(untilMs: number, work: () => Promise<unknown>): Promise<number> {
  let count = 0;
  while (Date.now() < untilMs) {
    await work();
    count += 1;
  }
  return count;
}

/** Direct, or through the page cache; each in a half of its own, which nobody else writes. */
function runFio(file: string, isDirect: boolean): Promise<unknown> {
  const size = FIO_BYTES / 2;
  const way = isDirect ? ['--direct=1', '--bs=4k'] : ['--direct=0', '--bs=7k'];
  // One pass and no reading between the writes: else fio overwrites its own, and calls that an error, on any file.
  const args = [
    ...['--name=soak', `--filename=${file}`, '--rw=randwrite', '--ioengine=libaio', '--iodepth=8', ...way],
    ...[
      `--size=${size}`,
      `--offset=${isDirect ? 0 : size}`,
      '--fsync=64',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_state_save=0',
    ],
    `--randseed=${randomBytes(3).readUIntBE(0, 3)}`,
  ];
  return mustRun('fio', args);
}

const open = promisify(fs.open);
const read = promisify(fs.read);
const close = promisify(fs.close);

/** Many have the file open at once, in both ways, and let go of it. */
async function openAtOnce(file: string): Promise<void> {
  const fds = await Promise.all(
    Array.from({ length: OPENERS }, (_, index) => open(file, index % 2 ? 'r' : 'r+')),
  );
  await Promise.all(fds.map((fd, index) => read(fd, Buffer.alloc(3000), 0, 3000, index * 12_345)));
  await Promise.all(fds.map((fd) => close(fd)));
  await delay(20);
}

/** A repository of some hundred files. */
async function makeRepository(dir: string): Promise<string> {
  const repository = path.join(dir, 'repository');
  fs.mkdirSync(repository);
  for (let index = 0; index < 300; index += 1) {
    const name = path.join(repository, `d${index % 13}`, `f${index}`);
    fs.mkdirSync(path.dirname(name), { recursive: true });
    fs.writeFileSync(name, randomBytes(50 * (index % 40) + 1));
  }
  const git = (...args: string[]) =>
    mustRun('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args]);
  await git('init', '--quiet');
  await git('add', '--all');
  await git('commit', '--quiet', '--message', 'all');
  return repository;
}

/** ext4 on a loop device over the last part of the file; everything is gone at the teardown of `t`. */
async function mountExt4(t: Test, file: string, dir: string) {
  const args = [
    '--show',
    '--find',
    '--direct-io=on',
    `--offset=${FIO_BYTES}`,
    `--sizelimit=${LOOP_BYTES}`,
    file,
  ];
  const device = (await mustRun('losetup', args)).stdout.toString().trim();
  t.teardown(() => run('losetup', ['--detach', device]));
  await mustRun('mkfs.ext4', ['-q', '-F', device]);
  fs.mkdirSync(dir);
  await mustRun('mount', ['-t', 'ext4', device, dir]);
  t.teardown(async () => findMount(dir) && (await run('umount', ['-l', dir])));
  return device;
}

async function cloneAndRemove(repository: string, dir: string): Promise<void> {
  const clone = path.join(dir, 'clone');
  await mustRun('git', ['clone', '--quiet', '--no-local', repository, clone]);
  await mustRun('git', ['-C', clone, 'fsck', '--no-progress']);
  fs.rmSync(clone, { recursive: true });
}

async function watch(pid: number, untilMs: number): Promise<Size[]> {
  const sizes: Size[] = [];
  await repeat(untilMs, async () => {
    sizes.push(sizeOf(pid));
    await delay(250);
  });
  return sizes;
}

const largest = (sizes: readonly Size[], field: keyof Size) => Math.max(...sizes.map((size) => size[field]));

/** The last part of the time against the first, without the very start. */
function checkGrowth(t: Test, sizes: readonly Size[]): void {
  const quarter = Math.ceil(sizes.length / 4);
  const [early, late] = [sizes.slice(quarter, 2 * quarter), sizes.slice(-quarter)];
  const [before, after] = [largest(early, 'rssKiB'), largest(late, 'rssKiB')];
  t.ok(after < before + RSS_SLACK_KIB, `${before} KiB of memory in the second quarter, ${after} in the last`);
  t.comment(`threads ${largest(early, 'threads')} and ${largest(late, 'threads')}`);
}

async function load(file: string, repository: string, dir: string, pid: number) {
  const untilMs = Date.now() + SECONDS * 1000;
  const [sizes, direct, buffered, opened, cloned] = await Promise.all([
    watch(pid, untilMs),
    repeat(untilMs, () => runFio(file, true)),
    repeat(untilMs, () => runFio(file, false)),
    repeat(untilMs, () => openAtOnce(file)),
    repeat(untilMs, () => cloneAndRemove(repository, dir)),
  ]);
  return { sizes, verified: direct + buffered, opened, cloned };
}

t.test(`${SECONDS} seconds of everything`, { skip, timeout: (SECONDS + 200) * 1000 }, async (t) => {
  const sizeBytes = FIO_BYTES + LOOP_BYTES;
  const pair = await makePair(t, { type: 'luks2', sizeBytes, sectorSizeBytes: 512 });
  const dir = path.join(pair.dir, 'ext4');
  const repository = await makeRepository(pair.dir);
  const mount = await mountVolume(t, pair);
  const daemon = requireHolder(pair.payload);
  const start = sizeOf(daemon);
  const device = await mountExt4(t, mount.file, dir);
  const { sizes, verified, opened, cloned } = await load(mount.file, repository, dir, daemon);
  t.ok(
    cloned > 0 && opened > 0,
    `opened ${opened * OPENERS} times, cloned ${cloned} times, ${verified} passes of fio verified`,
  );
  checkGrowth(t, sizes);
  await mustRun('umount', [dir]);
  t.equal((await run('fsck.ext4', ['-fn', device])).code, 0, 'fsck finds ext4 clean');
  await mustRun('losetup', ['--detach', device]);
  // A worker that was added leaves at a request, once it has not been needed for a while.
  const isAsBefore = () => {
    fs.readdirSync(mount.mountpoint);
    fs.closeSync(fs.openSync(mount.file, 'r'));
    return sizeOf(daemon).threads <= start.threads && sizeOf(daemon).fds <= start.fds;
  };
  await waitUntil('threads and descriptors are as at the start', isAsBefore, 60_000);
  t.comment(`at the start ${JSON.stringify(start)}, at the end ${JSON.stringify(sizeOf(daemon))}`);
  await mount.umount();
});
