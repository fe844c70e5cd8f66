/**
 * Where the machine, or a container, forbids what a mount would like to have: it does without and says so, or says what to
 * change.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { clearMount, luksfuse, mustLuksfuse, PROGRAM, unlockArgs } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { statusOf } from '../kit/serving.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'setpriv', 'prlimit'] });

/** A volume, and the words of the command that mounts it. */
async function prepare(t: Test) {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 1024 * 1024 });
  const mountpoint = fs.mkdtempSync(path.join(pair.dir, 'mountpoint-'));
  t.teardown(() => clearMount(mountpoint));
  return { pair, mountpoint, words: ['mount', ...unlockArgs(pair), pair.payload, mountpoint] };
}

/** Runs the program as root without a capability. */
const without = (capability: string, words: string[]) =>
  run('setpriv', [`--bounding-set=-${capability}`, `--inh-caps=-${capability}`, ...words]);

t.test('root that may not mount', { skip }, async (t) => {
  const { pair, mountpoint } = await prepare(t);
  // No key is asked for in vain.
  const words = [
    'mount',
    '--header',
    pair.headerFile,
    '--key-file',
    '/nonexistent',
    pair.payload,
    mountpoint,
  ];
  const { code, stderr } = await without('sys_admin', [PROGRAM, ...words]);
  t.equal(code, 4);
  t.match(stderr, /CAP_SYS_ADMIN is missing; .*docker run --device \/dev\/fuse --cap-add SYS_ADMIN/);
  t.equal(findMount(mountpoint), null);
});

t.test('keys that cannot be locked', { skip }, async (t) => {
  const { mountpoint, words } = await prepare(t);
  const warning = /keys are in memory that is not locked .*ulimit -l .*LimitMEMLOCK=.*--ulimit memlock=/;
  // By the second limit some are locked.
  for (const limit of ['0', '16384']) {
    const { code, stderr } = await without('ipc_lock', ['prlimit', `--memlock=${limit}`, PROGRAM, ...words]);
    t.equal(code, 0, stderr);
    t.match(stderr, warning, limit);
    t.equal(stderr.trim().split('\n').length, 1, 'said once');
    t.match((await mustLuksfuse(['status', mountpoint])).stdout.toString(), warning);
    await mustLuksfuse(['umount', mountpoint]);
  }
  const { stderr } = await mustLuksfuse(words);
  t.equal(stderr, '', 'nothing is said where they are locked');
});

t.test('memory that processes cannot share', { skip }, async (t) => {
  const { pair, mountpoint, words } = await prepare(t);
  const hook = new URL('./without-memfd.js', import.meta.url).href;
  const { stderr } = await mustLuksfuse(words, { hook });
  const warning = /is not supervised .*memfd_create: EPERM.*seccomp.*--no-supervise/;
  t.match(stderr, warning);
  const { supervisorPid, warnings } = await statusOf(mountpoint);
  t.equal(supervisorPid, null);
  t.match(warnings, [warning]);
  t.ok(fs.readFileSync(path.join(mountpoint, 'payload')).equals(pair.plaintext), 'it is served');
  await mustLuksfuse(['umount', mountpoint]);
  t.equal((await luksfuse([...words, '--no-supervise'], { hook })).stderr, '', 'as it was asked for');
});
