/**
 * Programs that ask more of a file than most: loop devices, file systems, fio. Over a plain file, so that what
 * fails here is the driver.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { waitUntil } from '../kit/processes.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';
import { mountTestStore } from './dev-fuse-mount.js';
import { SLOW_READ_MS } from './dev-fuse-store.js';

const MIB = 1024 * 1024;

const fioSkip = skipUnless({ root: true, fuse: true, tools: ['fio'] });
const loopSkip = skipUnless({
  root: true,
  fuse: true,
  loop: true,
  tools: ['losetup', 'mkfs.ext4', 'fsck.ext4'],
});

const TWO_JOBS = ['--numjobs=2', '--offset_increment=4m'];
// With cache=auto, one job is a matter of the conformance suite.
for (const [name, args, caches] of [
  ['cached', ['--ioengine=psync', '--fsync=32'], ['none', 'writeback']],
  ['direct', ['--ioengine=libaio', '--direct=1', '--iodepth=16'], ['none', 'writeback']],
  ['mapped', ['--ioengine=mmap'], ['none', 'writeback']],
  // Its checks read while others write: two jobs on halves of the file.
  [
    'two at once',
    ['--ioengine=libaio', '--direct=1', '--iodepth=8', ...TWO_JOBS],
    ['auto', 'none', 'writeback'],
  ],
] as const) {
  t.test(`fio verifies what it wrote: ${name}`, { skip: fioSkip }, async (t) => {
    for (const cache of caches) {
      const { path, session } = await mountTestStore(t, { sizeBytes: 8 * MIB, cache });
      const size = name === 'two at once' ? '4m' : '8m';
      const common = [
        '--name=x',
        `--filename=${path}`,
        `--size=${size}`,
        '--rw=randwrite',
        '--bsrange=512-128k',
      ];
      const check = [
        '--verify=crc32c',
        '--verify_state_save=0',
        '--verify_fatal=1',
        '--fallocate=none',
        '--blockalign=512',
      ];
      const { code, stderr, stdout } = await run('fio', [...common, ...check, ...args]);
      t.equal(code, 0, `cache=${cache} ${stderr} ${code ? stdout : ''}`);
      t.equal(fs.statSync(path).size, 8 * MIB);
      await session.unmount();
    }
  });
}

for (const directIo of ['on', 'off']) {
  t.test(`ext4 on a loop device, direct-io=${directIo}`, { skip: loopSkip }, async (t) => {
    const { path, directory, session, backing } = await mountTestStore(t, { sizeBytes: 64 * MIB });
    const { stdout } = await mustRun('losetup', ['--find', '--show', `--direct-io=${directIo}`, path]);
    const device = stdout.toString().trim();
    const inside = join(directory, 'inside');
    fs.mkdirSync(inside);
    let isDetached = false;
    const detach = async () => {
      if (isDetached) return;
      isDetached = true;
      await run('umount', [inside]);
      await mustRun('losetup', ['--detach', device]);
    };
    t.teardown(detach);
    await mustRun('mkfs.ext4', ['-q', device]);
    await mustRun('mount', [device, inside]);
    const content = new Random(5).bytes(20 * MIB);
    fs.writeFileSync(join(inside, 'file'), content);
    await mustRun('umount', [inside]);
    await mustRun('mount', [device, inside]);
    t.ok(fs.readFileSync(join(inside, 'file')).equals(content));
    await detach();
    for (const image of [path, backing]) {
      const { code, stdout: said } = await run('fsck.ext4', ['-fn', image]);
      t.equal(code, 0, `${image}: ${said}`);
    }
    await session.unmount();
  });
}

t.test('a pool grows while the payload is slow, and shrinks again', { skip: fioSkip }, async (t) => {
  const { path, store, session } = await mountTestStore(t, { workerCount: undefined });
  const workerCount = () => session.activity().workers;
  const before = workerCount();
  store.faults[SLOW_READ_MS] = 5;
  const load = ['--ioengine=libaio', '--direct=1', '--iodepth=32', '--rw=randread', '--bs=4k', '--size=4m'];
  // One process: a job of its own would outlive the SIGKILL of the one that started it.
  const time = ['--thread', '--time_based', '--runtime=60'];
  const fio = spawn('fio', ['--name=x', `--filename=${path}`, '--fallocate=none', ...load, ...time], {
    stdio: 'ignore',
  });
  await waitUntil('the pool grows', () => workerCount() >= before + 4, 60_000);
  fio.kill('SIGKILL');
  await once(fio, 'close');
  store.faults[SLOW_READ_MS] = 0;
  // One request at a time: the kernel wakes one waiting worker after the other, and those not needed leave.
  const deadline = Date.now() + 60_000;
  while (workerCount() > before && Date.now() < deadline) {
    await fs.promises.readFile(path);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.equal(workerCount(), before);
  await session.unmount();
});
