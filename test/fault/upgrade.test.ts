/**
 * `luksfuse upgrade`: the program of another installation goes on with a mount, under load, without an error; and what is
 * refused leaves the mount as it was.
 */
import fs from 'node:fs';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { installCopy } from '../kit/installed.js';
import { luksfuse, mountVolume } from '../kit/luksfuse.js';
import { findHolders, isRunning, readProcFile } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { type RunResult, run } from '../kit/run.js';
import { statusOf } from '../kit/serving.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'fio'] });

const programOf = (pid: number) =>
  readProcFile(pid, 'cmdline')
    .toString()
    .split('\0')
    .find((word) => word.endsWith('/server-main.js'));

const LOAD_MS = 5000;

/** Passes of writes that are verified, one after the other: with --time_based fio finds faults on plain files too. */
async function verifyFor(ms: number, file: string): Promise<RunResult> {
  const job = ['--name=upgrade', `--filename=${file}`, '--rw=randwrite', '--bs=4k', '--size=32m', '--thread'];
  const io = ['--ioengine=libaio', '--iodepth=16', '--direct=1'];
  const check = ['--verify=crc32c', '--verify_state_save=0', '--verify_fatal=1'];
  const end = Date.now() + ms;
  for (;;) {
    const result = await run('fio', [...job, ...io, ...check]);
    if (result.code !== 0 || Date.now() > end) return result;
  }
}

t.test('another version goes on while fio writes and verifies', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 32 * MiB });
  const { file, mountpoint } = await mountVolume(t, pair);
  const { program, entry } = installCopy(t);
  let isOver = false;
  const load = verifyFor(LOAD_MS, file).finally(() => {
    isOver = true;
  });
  let upgrades = 0;
  for (; !isOver; upgrades++) {
    const { pid } = await statusOf(mountpoint);
    const { code, stderr } = await (upgrades % 2 ? luksfuse : runProgram)(['upgrade', mountpoint]);
    t.equal(code, 0, stderr);
    const now = await statusOf(mountpoint);
    t.not(now.pid, pid);
    t.notOk(isRunning(pid), 'the old server is dead');
    t.equal(programOf(now.pid) === entry, upgrades % 2 === 0, 'the version that was asked for serves');
  }
  const { code, stdout, stderr } = await load;
  t.equal(code, 0, `${stdout}${stderr}`);
  t.comment(`${upgrades} upgrades`);

  function runProgram(args: string[]) {
    return run(program, args);
  }
});

t.test('a version that does not start, and one that others could have written', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const { file, mountpoint } = await mountVolume(t, pair);
  const { pid } = await statusOf(mountpoint);
  const { dir, program, entry } = installCopy(t);
  const upgrade = () => run(program, ['upgrade', mountpoint]);
  const unchanged = async () => {
    t.equal((await statusOf(mountpoint)).pid, pid, 'the old server goes on');
    t.ok(fs.readFileSync(file).equals(pair.plaintext));
  };

  fs.chmodSync(dir, 0o777);
  const unsafe = await upgrade();
  t.equal(unsafe.code, 1, unsafe.stderr);
  t.match(unsafe.stderr, /can be changed by others/);
  await unchanged();
  fs.chmodSync(dir, 0o755);

  for (const text of ['process.exit(3);', 'this is no program']) {
    fs.writeFileSync(entry, text);
    const broken = await upgrade();
    t.equal(broken.code, 4, broken.stderr);
    await unchanged();
  }

  // Says that it is ready, and dies of its first request.
  fs.writeFileSync(
    entry,
    `import fs from 'node:fs'; import net from 'node:net';
     setTimeout(() => {
       fs.writeSync(3, JSON.stringify({ ready: {} }) + '\\n');
       new net.Socket({ fd: 3 }).on('data', (text) => { if (text.includes('serve')) process.exit(3); });
     }, 500);`,
  );
  t.equal((await upgrade()).code, 4);
  t.ok(fs.readFileSync(file).equals(pair.plaintext), 'the old version serves');
  t.not(programOf((await statusOf(mountpoint)).pid), entry);
});

t.test('a mount that nobody supervises', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const { mountpoint, umount } = await mountVolume(t, pair, { args: ['--no-supervise'] });
  t.equal(findHolders(pair.payload).length, 1);
  const { code, stderr } = await luksfuse(['upgrade', mountpoint]);
  t.equal(code, 4);
  t.match(stderr, /must be unmounted/);
  await umount();
  t.equal((await luksfuse(['upgrade', mountpoint])).code, 1);
});
