/**
 * From a payload, its header and a key to a `Volume`.
 */
import { destroyKeys, type VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { withReencryptionLock } from '../format/lock.js';
import { requireVolumeKey, type Unlock } from '../keyslot/unlock.js';
import { type LocatedVolume, type LocateOptions, locateVolume } from './locate.js';
import { recoverReencryption } from './reencrypt.js';
import { type OpenedReencryption, requireReencryptionKeys, unlockReencryption } from './reencrypt-open.js';
import { findShiftedSides } from './under-way.js';
import { Volume } from './volume.js';

export type { Unlock } from '../keyslot/unlock.js';

/** The header's device for writing: the payload's own where the header is attached. `close` what is not. */
function openHeaderForWriting({ device, payload }: LocatedVolume): Device {
  if (!(device instanceof Device)) {
    throw new LuksError(
      'UNSUPPORTED',
      `the reencryption was cut short, and to recover it the header must be written, but ${device.path} is no file of it`,
    );
  }
  if (device.isSameFile(payload)) return payload;
  return Device.open(device.path, { isReadOnly: false, isShared: true });
}

/** Brings the zone that a cut has left half rewritten to its new form, in the payload and in the header. */
async function recover(located: LocatedVolume, opened: OpenedReencryption): Promise<void> {
  const { header, payload } = located;
  if (payload.isReadOnly) {
    throw new LuksError(
      'UNSUPPORTED',
      'the reencryption was cut short, and what it was working on must be recovered first, which a reader may not: ' +
        'open the volume once for writing, or go on with: luksfuse reencrypt --resume-only',
    );
  }
  const device = openHeaderForWriting(located);
  try {
    await withReencryptionLock(header.uuid, () => recoverReencryption({ device, payload, ...opened }));
  } finally {
    if (device !== payload) device.close();
  }
}

/**
 * The keys of a volume that was found; the caller destroys them. In the middle of a reencryption a zone that a cut left
 * hot is recovered, so that `located.layout` holds.
 * Throws BAD_PASSPHRASE, HEADER_CORRUPT, UNSUPPORTED where recovery is needed and cannot be.
 */
export async function unlockKeys(located: LocatedVolume, unlock: Unlock): Promise<VolumeKeys> {
  const { device, header, payload, layout } = located;
  if (!layout.reencryption) {
    const { volumeKey, digestId } = await requireVolumeKey(device, header, unlock);
    return new Map([[digestId, volumeKey]]);
  }
  const shifted = findShiftedSides(header);
  if (shifted) return requireReencryptionKeys(device, header, shifted, unlock, false);
  const opened = await unlockReencryption(device, header, payload, unlock);
  try {
    if (layout.reencryption.hasHotZone) await recover(located, opened);
    return opened.keys;
  } catch (error) {
    destroyKeys(opened.keys);
    throw error;
  }
}

/** Unlocks a volume that was found; its payload is the volume's from here on, and closed where this fails. */
export async function unlockVolume(located: LocatedVolume, unlock: Unlock): Promise<Volume> {
  const { payload, layout } = located;
  let keys: VolumeKeys | null = null;
  try {
    keys = await unlockKeys(located, unlock);
    return Volume.create(payload, layout, keys);
  } catch (error) {
    if (keys) destroyKeys(keys);
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
