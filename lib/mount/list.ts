/**
 * The mounts of this user, as their daemons tell of them.
 */
import { LuksError } from '../errors.js';
import { ControlClient, type MountInfo } from './control.js';
import { listMounts as listEntries, type MountEntry, requireMount } from './mount-table.js';

/** A mount that nothing can be learnt of. */
export interface SilentMount {
  mountpoint: string;
  /** Its daemon is there and does not answer; null where it died, or is another user's. */
  problem: string | null;
}

async function findInfo(mount: MountEntry): Promise<MountInfo | null> {
  const daemon = await ControlClient.connect(mount);
  daemon?.disconnect();
  // Its own word is of the path that it was mounted on.
  return daemon && { ...daemon.info, ...movedTo(mount, daemon.info) };
}

function movedTo({ mountpoint }: MountEntry, info: MountInfo): Pick<MountInfo, 'mountpoint' | 'file'> {
  const file = mountpoint + info.file.slice(info.mountpoint.length);
  return { mountpoint, file };
}

/** One that does not answer costs its own row. */
export async function listMounts(): Promise<(MountInfo | SilentMount)[]> {
  const describe = async (mount: MountEntry): Promise<MountInfo | SilentMount> => {
    const { mountpoint } = mount;
    try {
      return (await findInfo(mount)) ?? { mountpoint, problem: null };
    } catch (error) {
      return { mountpoint, problem: (error as Error).message };
    }
  };
  return Promise.all(listEntries().map(describe));
}

/** Throws BAD_ARGUMENT where nothing of ours is mounted, DEVICE_IO where its daemon does not answer. */
export async function requireMountInfo(path: string): Promise<MountInfo> {
  const info = await findInfo(requireMount(path));
  if (info) return info;
  throw new LuksError(
    'DEVICE_IO',
    `no daemon answers for ${path}; if it died, clear the mount with: luksfuse umount ${path}`,
  );
}
