/**
 * Checks a mountpoint before anyone is asked for a key.
 */
import fs from 'node:fs';
import createDebug from 'debug';
import { isSystemError, LuksError } from '../errors.js';
import { unmountFuse } from '../fuse/mount-helper.js';
import { type Mountpoint, requireMountpoint } from '../fuse/mountpoint.js';
import { ControlClient } from './control.js';
import { canonicalMountpoint, isMounted } from './mount-table.js';

const debug = createDebug('luksfuse:mount');

/** Whatever is asked of a mount whose server is gone is answered so by the kernel. */
function isDead(mountpoint: string): boolean {
  try {
    fs.statfsSync(mountpoint); // stat(2) may be answered from what the kernel remembers
    return false;
  } catch (error) {
    return isSystemError(error) && ['ENOTCONN', 'ECONNABORTED'].includes(error.code);
  }
}

/**
 * A mountpoint that nothing of ours covers yet.
 * @throws LuksError BAD_ARGUMENT where nothing can be mounted on it, BUSY where a daemon serves it. The
 *   mount that a dead daemon left is cleared
 */
export async function requireFreeMountpoint(path: string): Promise<Mountpoint> {
  const mountpoint = canonicalMountpoint(path);
  if (!isMounted(mountpoint)) return requireMountpoint(path);
  if (isDead(mountpoint)) {
    debug('%s: clearing the mount of a daemon that died', mountpoint);
    await unmountFuse(mountpoint, 'lazy');
    return requireMountpoint(path);
  }
  const daemon = await ControlClient.connect(mountpoint);
  daemon?.disconnect();
  const what = daemon ? `${daemon.info.payload}, served by process ${daemon.info.pid}` : 'another user';
  throw new LuksError('BUSY', `${path} already holds the mount of ${what}; unmount it first`);
}
