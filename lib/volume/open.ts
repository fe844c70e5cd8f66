/**
 * From a payload, its header and a key to a `Volume`.
 */
import { requireVolumeKey, type Unlock } from '../keyslot/unlock.js';
import { type LocatedVolume, type LocateOptions, locateVolume } from './locate.js';
import { Volume } from './volume.js';

export type { Unlock } from '../keyslot/unlock.js';

/** Unlocks a volume that was found; its payload is the volume's from here on, and closed where this fails. */
export async function unlockVolume(located: LocatedVolume, unlock: Unlock): Promise<Volume> {
  const { device, header, payload, layout } = located;
  try {
    const { volumeKey } = await requireVolumeKey(device, header, unlock);
    return Volume.create(payload, layout, volumeKey);
  } catch (error) {
    payload.close();
    throw error;
  }
}

/**
 * Opens the volume on `payloadPath` with a passphrase or its volume key, whose bytes stay the caller's to wipe.
 * Close it after use: that syncs, closes the payload and wipes the key.
 * @throws LuksError NOT_LUKS, HEADER_CORRUPT, UNSUPPORTED, DEVICE_IO, NO_MEMORY, BAD_PASSPHRASE, BUSY
 */
export async function openVolume(
  payloadPath: string,
  unlock: Unlock,
  options: LocateOptions = {},
): Promise<Volume> {
  const located = locateVolume(payloadPath, options);
  try {
    return await unlockVolume(located, unlock);
  } finally {
    located.device.close();
  }
}
