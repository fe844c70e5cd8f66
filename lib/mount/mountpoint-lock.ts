/**
 * Keeps two from mounting on one mountpoint at once. Without that the upper goes again, by its path, and may take the
 * lower one with it.
 */
import fs from 'node:fs';
import createDebug from 'debug';
import { LuksError } from '../errors.js';
import { type Mountpoint, requireMountpoint } from '../fuse/mountpoint.js';
import { flockWithin } from '../native/file.js';
import { canonicalMountpoint, isMounted } from './mount-table.js';

const debug = createDebug('luksfuse:mount');

/** A server that is slow to start may take longer. findOwnMount tells whose mount it is then. */
const PATIENCE_MS = 10_000;

function requireUncovered(path: string): void {
  if (!isMounted(canonicalMountpoint(path))) return;
  throw new LuksError('BUSY', `another luksfuse has mounted on ${path} in the meantime`);
}

/** A lock on the directory or file that is to be mounted on, from before that until `release`. */
export class MountpointLock {
  readonly mountpoint: Mountpoint;
  #file: fs.promises.FileHandle | null = null;

  private constructor(mountpoint: Mountpoint) {
    this.mountpoint = mountpoint;
  }

  /**
   * Waits for whoever is mounting there. A lock that cannot be had keeps nobody from mounting, since any user may hold one
   * on what he may read.
   * @throws LuksError as `requireMountpoint`, and BUSY where something of ours is mounted
   */
  static async take(path: string): Promise<MountpointLock> {
    requireUncovered(path);
    const lock = new MountpointLock(requireMountpoint(path));
    try {
      lock.#file = await fs.promises.open(lock.mountpoint.path, 'r');
      if (!(await flockWithin(lock.#file.fd, PATIENCE_MS))) debug('%s stays locked by another', path);
    } catch (error) {
      debug('%s cannot be locked: %s', path, (error as Error).message);
    }
    try {
      // What was opened may be the root of a mount that was made since, which nobody else locks.
      requireUncovered(path);
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
