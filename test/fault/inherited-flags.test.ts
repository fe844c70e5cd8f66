/**
 * Bursts read from a descriptor that must not wait, and from libuv 1.53 on whatever a process hands to a child comes to wait,
 * in the processes that have it already as well: at the first start, when a server dies, and when another takes over.
 */
import fs from 'node:fs';
import t from 'tap';
import { FUSE_DEVICE_PATH } from '../../lib/fuse/channel.js';
import { makePair } from '../kit/cryptsetup.js';
import { mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { killServer, statusOf } from '../kit/serving.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'fio'] });

/** Of each of the process's descriptors of /dev/fuse, whether reading from it waits. */
function waitingOf(pid: number): boolean[] {
  const fds = fs.readdirSync(`/proc/${pid}/fd`);
  const ofFuse = fds.filter((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`) === FUSE_DEVICE_PATH);
  return ofFuse.map((fd) => {
    const [, flags] = /^flags:\s*([0-7]+)$/m.exec(fs.readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'ascii'))!;
    return (Number.parseInt(flags!, 8) & fs.constants.O_NONBLOCK) === 0;
  });
}

/** Enough direct reads at once for bursts. */
function startLoad(file: string) {
  const job = ['--name=bursts', `--filename=${file}`, '--rw=randread', '--bs=4k', '--direct=1'];
  return run('fio', [...job, '--thread', '--numjobs=16', '--number_ios=3000', '--size=16m', '--minimal']);
}

t.test('no server waits where it must not', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 16 * 1024 * 1024 });
  const hook = new URL('./clearing-spawn.js', import.meta.url).href;
  const { file, mountpoint } = await mountVolume(t, pair, { hook });
  const changes: [how: string, change: () => Promise<unknown>][] = [
    ['nothing', async () => {}],
    ['the death of the server', () => killServer(mountpoint)],
    ['an upgrade', () => mustLuksfuse(['upgrade', mountpoint])],
  ];
  for (const [how, change] of changes) {
    const load = startLoad(file);
    await change();
    const { pid } = await statusOf(mountpoint);
    t.strictSame(waitingOf(pid), [true, false], `${how}: one descriptor waits, one does not`);
    const { code, stderr } = await load;
    t.equal(code, 0, `${how}: no read fails or hangs ${stderr}`);
    t.strictSame(waitingOf(pid), [true, false], `${how}: and after the load`);
  }
});
