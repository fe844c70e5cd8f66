/**
 * What is dev-fuse's own: its workers. How the mounted file behaves is in the conformance suite.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startSession } from '../../lib/mount/session.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';
import { mountTestStore } from './dev-fuse-mount.js';
import { KILL_WORKER, storeModule, TestStore } from './dev-fuse-store.js';

const SIZE = 4 * 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true });

t.test('a worker that dies takes the mount with it, and nobody hangs', { skip }, async (t) => {
  const { session, path, store } = await mountTestStore(t);
  store.faults[KILL_WORKER] = 1;
  await t.rejects(fs.promises.readFile(path));
  const { error } = await session.closed;
  t.match(error?.message, /worker \d ended with status 3/);
  t.equal(findMount(session.mountpoint), null);
});

t.test('a session that cannot start leaves no mount', { skip }, async (t) => {
  const directory = makeTempDir(t);
  const mountpoint = join(directory, 'm');
  const store = new TestStore({
    device: null,
    sizeBytes: SIZE,
    isReadOnly: false,
    faults: new SharedArrayBuffer(64),
    isBroken: true,
  });
  const options = { mountpoint, store, storeModule, storeHandle: store.handle, source: 's', workerCount: 2 };
  const start = (change: object = {}) => startSession({ ...options, ...change });
  await t.rejects(start(), { code: 'BAD_ARGUMENT', message: /make a directory or an empty file/ });
  fs.mkdirSync(mountpoint);
  await t.rejects(start(), /cannot be opened/);
  t.equal(findMount(mountpoint), null);
  await t.rejects(start({ storeModule: 'file:///nowhere.js' }));
  t.equal(findMount(mountpoint), null);
  await t.rejects(start({ fileName: 'a/b' }), { code: 'BAD_ARGUMENT' });
  await t.rejects(start({ mountpoint: '/dev/null' }), { code: 'BAD_ARGUMENT', message: /neither/ });
});
