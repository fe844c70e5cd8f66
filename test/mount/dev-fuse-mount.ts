/**
 * A real mount of a test store for one test: made, checked, and surely gone again afterwards.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Device } from '../../lib/device.js';
import type { SessionOptions } from '../../lib/mount/mount-session.js';
import { type Session, startSession } from '../../lib/mount/session.js';
import { findMount } from '../kit/mounts.js';
import { Random } from '../kit/random.js';
import { makeTempDir } from '../kit/temp.js';
import { storeModule, TestStore } from './dev-fuse-store.js';

export interface Mounted {
  session: Session;
  /** The plaintext file. */
  path: string;
  /** The file behind the store. */
  backing: string;
  store: TestStore;
  directory: string;
}

export interface MountRequest extends Partial<SessionOptions> {
  sizeBytes?: number;
  isReadOnly?: boolean;
  /** The mountpoint is a regular file. */
  onFile?: boolean;
}

export async function mountTestStore(t: Test, request: MountRequest = {}): Promise<Mounted> {
  const { sizeBytes = 4 * 1024 * 1024, isReadOnly = false, onFile = false, ...options } = request;
  const directory = makeTempDir(t);
  const backing = join(directory, 'backing');
  fs.writeFileSync(backing, new Random(1).bytes(sizeBytes));
  const mountpoint = join(directory, 'mountpoint');
  if (onFile) fs.writeFileSync(mountpoint, '');
  else fs.mkdirSync(mountpoint);
  const device = Device.open(backing, { isReadOnly });
  const faults = new SharedArrayBuffer(64);
  const store = new TestStore({ device: device.handle, sizeBytes, isReadOnly, faults });
  const session = await startSession({
    mountpoint,
    store,
    storeModule,
    storeHandle: store.handle,
    source: 'test-store',
    workerCount: 2,
    ...options,
  });
  t.teardown(async () => {
    if (findMount(session.mountpoint)) await session.unmount({ lazy: true });
    await session.closed;
    device.close();
  });
  return { session, path: session.filePath, backing, store, directory };
}
