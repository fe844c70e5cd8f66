/**
 * What is stopped and does not die: a container's freezer, SIGSTOP, storage that hangs. Commands say so, in a while that
 * people wait for, and do what can be done without it.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { luksfuse, mountVolume, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { statusOf } from '../kit/serving.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const makeVolume = (t: Test) => makePair(t, { type: 'luks2', sizeBytes: 4 * MiB });

/** Stops processes until the test ends, or the function that is returned is called. */
function freeze(t: Test, ...pids: number[]): () => void {
  const send = (signal: NodeJS.Signals) => {
    for (const pid of pids) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has ended.
      }
    }
  };
  send('SIGSTOP');
  t.teardown(() => send('SIGCONT'));
  return () => send('SIGCONT');
}

const UNANSWERED = /the daemon of .* does not answer: it is stopped/;

t.test('a daemon that is stopped', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { mountpoint } = await mountVolume(t, pair);
  const other = await mountVolume(t, await makeVolume(t));
  const { supervisorPid } = await statusOf(mountpoint);
  const thaw = freeze(t, supervisorPid!);

  t.match(await luksfuse(['status', mountpoint]), { code: 4, stderr: UNANSWERED });
  t.match(await luksfuse(['upgrade', mountpoint]), { code: 4, stderr: UNANSWERED });
  const again = ['mount', ...unlockArgs(pair), pair.payload, mountpoint];
  t.match(await luksfuse(again), { code: 4, stderr: UNANSWERED });
  const list = JSON.parse((await mustLuksfuse(['list', '--json'])).stdout.toString());
  const rowOf = (name: string) =>
    list.mounts.find((mount: { mountpoint: string }) => mount.mountpoint === name);
  t.match(rowOf(mountpoint), { problem: UNANSWERED });
  t.match(rowOf(other.mountpoint), { payload: path.join(path.dirname(other.mountpoint), 'payload') });

  const { code, stderr } = await luksfuse(['umount', mountpoint]);
  t.equal(code, 4);
  t.match(stderr, /is unmounted, but whether .*payload is closed is not known: the daemon/);
  t.equal(findMount(mountpoint), null);
  t.match(await luksfuse(again), { code: 5 }, 'and it was not');
  thaw();
  await waitUntil('the payload is closed', () => !fs.existsSync(`/proc/${supervisorPid}`));
  await mustLuksfuse(again);
  await mustLuksfuse(['umount', mountpoint]);
});

t.test('storage that hangs', { skip }, async (t) => {
  const storage = await mountVolume(t, await makePair(t, { type: 'luks2', sizeBytes: 32 * MiB }));
  const dir = path.dirname(storage.mountpoint);
  const [header, keyFile, mountpoint] = ['header', 'key', 'mountpoint'].map((name) =>
    path.join(dir, `inner-${name}`),
  );
  fs.writeFileSync(keyFile!, 'secret');
  fs.mkdirSync(mountpoint!);
  const format = [
    '--pbkdf',
    'pbkdf2',
    '--pbkdf-force-iterations',
    '1000',
    '--header',
    header!,
    '--key-file',
    keyFile!,
  ];
  await mustLuksfuse(['format', '-q', ...format, storage.file]);
  const unlock = ['--header', header!, '--key-file', keyFile!];
  await mustLuksfuse(['mount', ...unlock, storage.file, mountpoint!]);
  t.teardown(async () => findMount(mountpoint!) && (await luksfuse(['umount', '--lazy', mountpoint!])));
  const inner = await statusOf(mountpoint!);
  const { pid, supervisorPid } = await statusOf(storage.mountpoint);
  fs.writeFileSync(inner.file, Buffer.alloc(MiB, 1), { flag: 'r+' });
  const thaw = freeze(t, pid, supervisorPid!);

  const waiting = await run('timeout', [
    '--kill-after=5',
    '8',
    path.resolve('bin/luksfuse'),
    'umount',
    mountpoint!,
  ]);
  t.equal(waiting.code, 124, 'SIGTERM ends who waits for it');
  t.ok(findMount(mountpoint!), 'and the mount is there');
  t.equal((await luksfuse(['umount', '--lazy', mountpoint!])).code, 0, 'the name goes all the same');
  t.equal(findMount(mountpoint!), null);
  thaw();
  await waitUntil('the inner mount ends', () => !fs.existsSync(`/proc/${inner.pid}`));
});
