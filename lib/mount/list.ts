/**
 * The mounts of this user, as their daemons tell of them.
 */
import { LuksError } from '../errors.js';
import { ControlClient, type MountInfo } from './control.js';
import { canonicalMountpoint, isMounted, listMountpoints } from './mount-table.js';

/** A mountpoint whose daemon does not answer: it died, or is another user's. */
export interface SilentMount {
  mountpoint: string;
}

async function findInfo(mountpoint: string): Promise<MountInfo | null> {
  const daemon = await ControlClient.connect(mountpoint);
  daemon?.disconnect();
  return daemon?.info ?? null;
}

export async function listMounts(): Promise<(MountInfo | SilentMount)[]> {
  return Promise.all(
    listMountpoints().map(async (mountpoint) => (await findInfo(mountpoint)) ?? { mountpoint }),
  );
}

/** Throws BAD_ARGUMENT where nothing of ours is mounted, DEVICE_IO where its daemon does not answer. */
export async function requireMountInfo(path: string): Promise<MountInfo> {
  const mountpoint = canonicalMountpoint(path);
  if (!isMounted(mountpoint))
    throw new LuksError('BAD_ARGUMENT', `nothing is mounted on ${path} by luksfuse`);
  const info = await findInfo(mountpoint);
  if (info) return info;
  throw new LuksError(
    'DEVICE_IO',
    `no daemon answers for ${path}; if it died, clear the mount with: luksfuse umount ${path}`,
  );
}
