/**
 * The server is killed at random moments, again and again, under a loop device with ext4 on which fio writes and verifies:
 * nobody notices. `node crashes.test.js 200` kills it 200 times.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { mountVolume } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';
import { killServer } from '../kit/serving.js';

const MiB = 1024 * 1024;
const KILLS = Number(process.argv[2] ?? 20);
const tools = ['cryptsetup', 'losetup', 'mkfs.ext4', 'fsck.ext4', 'fio'];
const skip = skipUnless({ root: true, fuse: true, loop: true, tools });
const random = new Random(Number(process.env.SEED ?? 1));

/** One pass of writes, then one that verifies: with randrw and several sizes fio finds faults on plain files too. */
function fio(dir: string, round: number) {
  const job = ['--name=crashes', `--directory=${dir}`, '--rw=randwrite', '--bsrange=512-64k', '--size=24m'];
  const io = ['--ioengine=libaio', '--iodepth=8', '--direct=1', '--fsync=64', `--randseed=${round}`];
  return run(
    'fio',
    [...job, ...io, '--verify=crc32c', '--verify_state_save=0', '--verify_fatal=1', '--thread'],
    {
      timeoutMs: 120_000,
    },
  );
}

t.setTimeout(60_000 + KILLS * 5000);

t.test(`ext4 on a loop device and ${KILLS} crashes`, { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 64 * MiB });
  const mount = await mountVolume(t, pair);
  const attach = ['--find', '--show', '--direct-io=on', mount.file];
  const device = (await mustRun('losetup', attach)).stdout.toString().trim();
  let isAttached = true;
  const detach = async () => {
    if (isAttached) await mustRun('losetup', ['--detach', device]);
    isAttached = false;
  };
  t.teardown(detach);
  await mustRun('mkfs.ext4', ['-q', device]);
  const dir = path.join(pair.dir, 'ext4');
  fs.mkdirSync(dir);
  await mustRun('mount', ['-t', 'ext4', '-o', 'errors=remount-ro', device, dir]);
  t.teardown(async () => findMount(dir) && (await run('umount', ['-l', dir])));

  let isKilling = true;
  const killing = (async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      await delay(random.between(100, 600));
      await killServer(mount.mountpoint);
    }
  })().finally(() => {
    isKilling = false;
  });
  let rounds = 0;
  for (; isKilling; rounds++) {
    const { code, stdout, stderr } = await fio(dir, rounds);
    if (code === 0) continue;
    t.fail(`round ${rounds} of fio: ${stderr}${stdout}`);
    break;
  }
  await killing;
  t.comment(`${KILLS} crashes, ${rounds} rounds of fio`);
  t.ok(findMount(dir)?.options.includes('rw'), 'the file system saw no error');
  await mustRun('umount', [dir]);
  t.equal((await run('fsck.ext4', ['-fn', device])).code, 0, 'and is clean');
  await detach();
  await mount.umount();
});
