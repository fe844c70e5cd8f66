/**
 * Unmounts, and returns only when the daemon has synced and closed the payload.
 */
import fs from 'node:fs';
import { isSystemError, LuksError } from '../errors.js';
import { unmountFuse } from '../fuse/mount-helper.js';
import { forgetAttachments, listAttachments } from './attachments.js';
import { ControlClient } from './control.js';
import { canonicalMountpoint, isMounted } from './mount-table.js';

/**
 * Dirty pages of a shared mapping would be written back by the unmount itself, which reports no error: so they
 * are written, and synced, before it, where the error still has a caller.
 */
function syncFile(path: string): void {
  let fd: number;
  try {
    fd = fs.openSync(path, 'r');
  } catch (error) {
    // The file is another user's (--uid): then this one has no mapping of it, and the daemon syncs in any case.
    if (isSystemError(error) && error.code === 'EACCES') return;
    throw error;
  }
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Who it is that keeps a mount busy, where it may be a VM that the file was handed to. */
function nameVms(error: unknown, mountpoint: string): unknown {
  const attachments = listAttachments(mountpoint);
  if (attachments.length === 0 || !(error instanceof LuksError) || error.code !== 'BUSY') return error;
  const vms = attachments.map(({ id, monitor }) => `as ${id} to the VM at ${monitor.address}`).join(' and ');
  const cure = `take it out first: luksfuse detach ${mountpoint}`;
  return new LuksError('BUSY', `${error.message}; it is attached ${vms}; ${cure}`, { cause: error });
}

export interface UnmountOptions {
  /** Take the mount out of the tree now; the daemon ends when the last user closes the file. Does not wait. */
  lazy?: boolean;
}

/**
 * Unmounts what luksfuse mounted on `mountpoint`; the mount of a dead daemon is cleared too.
 * @throws LuksError BUSY while the file is in use, BAD_ARGUMENT where nothing of ours is mounted, DEVICE_IO where
 *   the payload could not be synced
 */
export async function unmountVolume(mountpoint: string, options: UnmountOptions = {}): Promise<void> {
  const canonical = canonicalMountpoint(mountpoint);
  if (!isMounted(canonical)) {
    throw new LuksError('BAD_ARGUMENT', `nothing is mounted on ${mountpoint} by luksfuse`);
  }
  const daemon = await ControlClient.connect(canonical);
  try {
    if (daemon && !daemon.info.isReadOnly) syncFile(daemon.info.file);
    await unmountFuse(canonical, options.lazy ? 'lazy' : 'normal').catch((error: unknown) => {
      throw nameVms(error, canonical);
    });
    // After a lazy one the VM goes on with the file, and is still to be detached.
    if (!options.lazy) forgetAttachments(canonical);
    if (daemon && !options.lazy) await daemon.waitUntilClosed();
  } finally {
    daemon?.disconnect();
  }
}
