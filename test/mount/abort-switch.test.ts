import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { FuseMount } from '../../lib/mount/fuse-mount.js';
import { withDefaults } from '../../lib/mount/mount-session.js';
import { connectionNumber } from '../../lib/mount/mount-table.js';
import { setWaiting } from '../../lib/native/file.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const CONNECTIONS = '/sys/fs/fuse/connections';

function showConnections(t: Test): void {
  if (fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${CONNECTIONS} `)) return;
  execFileSync('mount', ['-t', 'fusectl', 'none', CONNECTIONS]);
  t.teardown(() => execFileSync('umount', [CONNECTIONS]));
}

async function makeMount(dir: string, name: string): Promise<FuseMount> {
  const mountpoint = path.join(dir, name);
  fs.mkdirSync(mountpoint);
  const mount = await FuseMount.make({ ...withDefaults({ mountpoint }), source: name, isReadOnly: false });
  setWaiting(mount.fuseFd, false);
  return mount;
}

/** A mount that is gone, and one that has got its number, which another test's may be quicker to. */
async function mountInTurns(dir: string): Promise<{ gone: FuseMount; next: FuseMount }> {
  for (let turn = 0; turn < 20; turn++) {
    const gone = await makeMount(dir, `gone-${turn}`);
    const number = connectionNumber(gone.mountpoint.path);
    await gone.unmount();
    const next = await makeMount(dir, `next-${turn}`);
    if (connectionNumber(next.mountpoint.path) === number) return { gone, next };
    await next.unmount();
    gone.close();
    next.close();
  }
  throw new Error('no mount got the number of the one before');
}

/** What a read of the next request says: EAGAIN while all is well. */
function state({ fuseFd }: FuseMount): string | undefined {
  try {
    fs.readSync(fuseFd, Buffer.alloc(2 ** 21));
    return 'a request';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

t.test(
  'a mount that is gone aborts no other that has its number now',
  {
    skip: skipUnless({ root: true, fuse: true }),
  },
  async (t) => {
    showConnections(t);
    const { gone, next } = await mountInTurns(makeTempDir(t));
    await gone.abort();
    t.equal(state(gone), 'ENODEV');
    t.equal(state(next), 'EAGAIN');
    await next.abort();
    t.equal(state(next), 'ECONNABORTED');
    gone.close();
    next.close();
  },
);
