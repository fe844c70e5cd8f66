/**
 * Asks the daemon of a mount to reencrypt its volume.
 */
import type { VolumeKeys } from '../crypto/secret.js';
import { LuksError } from '../errors.js';
import type { OnlineOrder } from '../volume/online.js';
import { ControlClient, type MountInfo } from './control.js';
import { withKeyOffer } from './key-line.js';
import { requireMount } from './mount-table.js';

/**
 * Returns what is mounted when the daemon does as ordered.
 * @param keys of both forms, for a reencryption that the mount does not know; else null
 * @throws LuksError UNSUPPORTED where the volume must be unmounted for this, BAD_ARGUMENT where there is nothing to do,
 *   DEVICE_IO where no daemon answers
 */
export async function orderReencryption(
  path: string,
  order: OnlineOrder,
  keys: VolumeKeys | null,
): Promise<MountInfo> {
  const daemon = await ControlClient.connect(requireMount(path));
  if (!daemon) throw new LuksError('DEVICE_IO', `no daemon answers for ${path}`);
  try {
    if (!keys) return await daemon.reencrypt({ order, keys });
    const { supervisorPid, pid } = daemon.info;
    return await withKeyOffer(keys, supervisorPid ?? pid, (offer) =>
      daemon.reencrypt({ order, keys: offer }),
    );
  } finally {
    daemon.disconnect();
  }
}
