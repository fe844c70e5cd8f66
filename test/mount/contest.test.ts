/**
 * Mounts that others get in the way of: two on one mountpoint, and paths that change while somebody is asked for.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { luksfuse, mountVolume, mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';
import { controlSocketOf, statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const makeVolume = (t: Test) => makePair(t, { type: 'luks2', sizeBytes: 4 * MiB });

for (const [name, ...options] of [
  ['supervised'],
  ['alone', '--no-supervise'],
  ['by the other driver', '--driver', 'fuse-native'],
]) {
  const needs = {
    root: true,
    fuse: true,
    fuseNative: options.includes('fuse-native'),
    tools: ['cryptsetup'],
  };
  t.test(
    `of several that mount on one mountpoint at once, one does: ${name}`,
    { skip: skipUnless(needs) },
    async (t) => {
      const mountpoint = makeTempDir(t);
      const pairs = await Promise.all([1, 2, 3, 4].map(() => makeVolume(t)));
      // All find the mountpoint free, and mount at the same moment.
      const gate = path.join(makeTempDir(t), 'gate');
      const waiting = pairs.map(({ header, payload, keyFile }) => {
        const key = `while ! [ -e ${gate} ]; do sleep 0.01; done; cat ${keyFile}`;
        const words = ['mount', ...options, '--header', header!, '--key-command', key, payload, mountpoint];
        return luksfuse(words);
      });
      t.teardown(async () => findMount(mountpoint) && (await luksfuse(['umount', '--lazy', mountpoint])));
      setTimeout(() => fs.writeFileSync(gate, ''), 1500);
      const codes = (await Promise.all(waiting)).map(({ code }) => code);
      t.strictSame([...codes].sort(), [0, 5, 5, 5]);
      const { plaintext, payload } = pairs[codes.indexOf(0)]!;
      t.equal((await statusOf(mountpoint)).payload, payload);
      t.ok(fs.readFileSync(path.join(mountpoint, 'payload')).equals(plaintext));
      await mustLuksfuse(['umount', mountpoint]);
      t.equal(findMount(mountpoint), null);
    },
  );
}

t.test(
  'of several that find the mount of a dead daemon, each clears it or finds it cleared',
  { skip },
  async (t) => {
    const mountpoint = makeTempDir(t);
    const pairs = await Promise.all([1, 2, 3, 4].map(() => makeVolume(t)));
    const attempt = ({ header, payload, keyFile }: (typeof pairs)[number]) =>
      luksfuse(['mount', '--no-supervise', '--header', header!, '--key-file', keyFile, payload, mountpoint]);
    t.teardown(async () => findMount(mountpoint) && (await luksfuse(['umount', '--lazy', mountpoint])));
    t.match(await attempt(pairs[0]!), { code: 0 });
    process.kill((await statusOf(mountpoint)).pid, 'SIGKILL');
    const codes = (await Promise.all(pairs.map(attempt))).map(({ code }) => code);
    t.strictSame([...codes].sort(), [0, 5, 5, 5]);
    await mustLuksfuse(['umount', mountpoint]);
    t.equal(findMount(mountpoint), null);
  },
);

t.test('the daemon is found wherever its mount has got to', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const dir = makeTempDir(t);
  const [before, after] = ['before', 'after'].map((name) => path.join(dir, name));
  fs.mkdirSync(path.join(before!, 'mountpoint'), { recursive: true });
  await mountVolume(t, pair, { mountpoint: path.join(before!, 'mountpoint') });
  fs.renameSync(before!, after!);
  const moved = path.join(after!, 'mountpoint');
  const file = path.join(moved, 'payload');
  t.match(await statusOf(moved), { mountpoint: moved, file, payload: pair.payload });
  await mustLuksfuse(['upgrade', moved]);
  const bound = path.join(dir, 'bound');
  fs.mkdirSync(bound);
  await mustRun('mount', ['--bind', moved, bound]);
  t.match(await statusOf(bound), { mountpoint: bound, payload: pair.payload });
  await mustRun('umount', [bound]);
  await mustLuksfuse(['umount', moved]);
  await mustLuksfuse(['mount', ...unlockArgs(pair), pair.payload, moved], {});
  await mustLuksfuse(['umount', moved]);
});

t.test('where its socket is gone, umount waits for the payload all the same', { skip }, async (t) => {
  const pair = await makeVolume(t);
  const { mountpoint, file } = await mountVolume(t, pair);
  fs.rmSync(controlSocketOf(mountpoint));
  t.match(await luksfuse(['status', mountpoint]), { code: 4, stderr: /no daemon answers/ });
  fs.writeFileSync(file, Buffer.alloc(4 * MiB, 7), { flag: 'r+' });
  t.match(await luksfuse(['umount', mountpoint]), { code: 0, stderr: '' });
  // Nobody has it any more.
  await mustLuksfuse(['cat', ...unlockArgs(pair), '--length', '512', pair.payload]);
  const again = ['mount', ...unlockArgs(pair), pair.payload, mountpoint];
  await mustLuksfuse(again);
  await mustLuksfuse(['umount', mountpoint]);
});
