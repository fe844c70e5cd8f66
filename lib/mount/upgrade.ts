/**
 * Replaces the server of a mount by one of the program that is installed now, without unmounting.
 */
import { LuksError } from '../errors.js';
import { ControlClient, type MountInfo } from './control.js';
import { requireMount } from './mount-table.js';
import { OWN_ENTRY } from './server-process.js';

/**
 * Returns what is mounted once the new server serves; no request fails meanwhile.
 * @throws LuksError BAD_ARGUMENT where nothing of ours is mounted, UNSUPPORTED where it has to be unmounted for this;
 *   where the new server does not start, the old one goes on
 */
export async function upgradeMount(path: string): Promise<MountInfo> {
  const daemon = await ControlClient.connect(requireMount(path));
  if (!daemon) throw new LuksError('DEVICE_IO', `no daemon answers for ${path}`);
  try {
    return await daemon.upgrade(OWN_ENTRY);
  } finally {
    daemon.disconnect();
  }
}
