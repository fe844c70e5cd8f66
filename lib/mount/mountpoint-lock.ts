/**
 * Lets one process at a time mount on a mountpoint. If two did at once, the one that loses would unmount by path, and might
 * unmount the other's mount.
 */
import fs from 'node:fs';
import createDebug from 'debug';
import { type Mountpoint, requireMountpoint } from '../fuse/mountpoint.js';
import { flockWithin } from '../native/file.js';
import { canonicalMountpoint, isMounted } from './mount-table.js';
import { mountedMeanwhile } from './own-mount.js';

const debug = createDebug('luksfuse:mount');

/** A server may be slower to start. If both mount after all, findOwnMount tells their mounts apart. */
const PATIENCE_MS = 10_000;

function requireUncovered(mountpoint: string): void {
  if (isMounted(mountpoint)) throw mountedMeanwhile(mountpoint);
}

/** A lock on the directory or file to mount on. */
export class MountpointLock {
  readonly mountpoint: Mountpoint;
  #file: fs.promises.FileHandle | null = null;

  private constructor(mountpoint: Mountpoint) {
    this.mountpoint = mountpoint;
  }

  /**
   * Waits while another process mounts there. Without the lock it goes on all the same: every user who can read the mountpoint
   * could hold it.
   * @throws LuksError as `requireMountpoint`, and BUSY if luksfuse has a mount there
   */
  static async take(path: string): Promise<MountpointLock> {
    requireUncovered(canonicalMountpoint(path));
    const lock = new MountpointLock(requireMountpoint(path));
    try {
      lock.#file = await fs.promises.open(lock.mountpoint.path, 'r');
      if (!(await flockWithin(lock.#file.fd, PATIENCE_MS))) debug('%s stays locked by another', path);
    } catch (error) {
      debug('%s cannot be locked: %s', path, (error as Error).message);
    }
    try {
      // If another mount was made since, the lock is on its root, where it excludes nobody.
      requireUncovered(lock.mountpoint.path);
    } catch (error) {
      await lock.release();
      throw error;
    }
    return lock;
  }

  async release(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }
}
