/**
 * Mounts are known as ours whatever the program that mounted made of their type, and other programs' mounts are not.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { luksfuse, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run, TOOL_PATH } from '../kit/run.js';
import { statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

/** The environment for a mount(8) that loses the subtype, as that of util-linux 2.41 does where it is part of the type. */
function withoutSubtype(t: Test): { PATH: string } {
  const dir = makeTempDir(t);
  const script = `#!/bin/sh
PATH='${TOOL_PATH}'
for word; do
  shift
  set -- "$@" "$(printf %s "$word" | sed 's/subtype=luksfuse,//; s/^fuse[.]luksfuse$/fuse/')"
done
exec mount "$@"`;
  fs.writeFileSync(path.join(dir, 'mount'), script, { mode: 0o755 });
  return { PATH: `${dir}:${TOOL_PATH}` };
}

t.test('a mount that lost its subtype', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 1024 * 1024 });
  const env = withoutSubtype(t);
  const { mountpoint } = await mountVolume(t, pair, { env });
  t.equal(findMount(mountpoint)?.type, 'fuse');
  const { pid, supervisorPid } = await statusOf(mountpoint);
  for (const args of [['list'], ['attach', '--print', mountpoint], ['upgrade', mountpoint]]) {
    const { stdout } = await mustLuksfuse(args);
    t.equal(stdout.includes(mountpoint), args[0] !== 'upgrade', args.join(' '));
  }
  t.match(await luksfuse(['mount', pair.payload, mountpoint]), {
    code: 5,
    stderr: /already holds the mount/,
  });
  await mustLuksfuse(['umount', mountpoint]);
  t.equal(findMount(mountpoint), null);

  await mountVolume(t, pair, { env, mountpoint });
  const dead = await statusOf(mountpoint);
  t.not(dead.pid, pid);
  t.not(dead.supervisorPid, supervisorPid);
  for (const one of [dead.supervisorPid!, dead.pid]) process.kill(one, 'SIGKILL');
  await waitUntil('the daemon is dead', () => !fs.existsSync(`/proc/${dead.pid}`));
  t.match(await luksfuse(['status', mountpoint]), { code: 4, stderr: /clear the mount with/ });
  await mustLuksfuse(['umount', mountpoint]);
  t.equal(findMount(mountpoint), null);
});

t.test('a mount of another program', { skip }, async (t) => {
  const mountpoint = makeTempDir(t);
  const options = 'fd=9,rootmode=40000,user_id=0,group_id=0,max_read=65536';
  await mustRun('sh', ['-c', `exec 9<>/dev/fuse; mount -i -t fuse -o ${options} other '${mountpoint}'`]);
  t.teardown(() => run('umount', ['-l', mountpoint]));
  t.match(await luksfuse(['status', mountpoint]), { code: 1, stderr: /nothing is mounted .* by luksfuse/ });
  t.notOk((await mustLuksfuse(['list'])).stdout.includes(mountpoint));
});
