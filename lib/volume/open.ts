/**
 * From a payload, its header and a key to a `Volume`.
 */
import { destroyKeys, type VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { withReencryptionLock } from '../format/lock.js';
import { requireVolumeKey, type Unlock } from '../keyslot/unlock.js';
import { piecedLayout } from './layout.js';
import { type LocatedVolume, type LocateOptions, locateVolume } from './locate.js';
import { LostData } from './lost-data.js';
import { recoverReencryption, surveyReencryption } from './reencrypt.js';
import { type OpenedReencryption, requireReencryptionKeys, unlockReencryption } from './reencrypt-open.js';
import type { Piece } from './reencrypt-parts.js';
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

/**
 * Brings the zone that an interruption has left half rewritten to its new form, in the payload and in the header. Returns
 * what it consists of where part of it is lost, else null.
 */
async function recover(located: LocatedVolume, opened: OpenedReencryption): Promise<readonly Piece[] | null> {
  const { payload } = located;
  const device = openHeaderForWriting(located);
  try {
    await recoverReencryption({ device, payload, ...opened });
    return null;
  } catch (error) {
    if (error instanceof LostData) return error.pieces;
    throw error;
  } finally {
    if (device !== payload) device.close();
  }
}

/** A reader writes nothing, not even to recover: it takes the zone as it is. What has lost something is for readers alone. */
async function settleHotZone(located: LocatedVolume, opened: OpenedReencryption): Promise<void> {
  const { header, device, payload } = located;
  const pieces = await withReencryptionLock(header.uuid, () =>
    payload.isReadOnly ? surveyReencryption(device, { payload, ...opened }) : recover(located, opened),
  );
  if (!pieces) return;
  located.layout = piecedLayout(located.layout, opened.reencryption, opened.state, pieces);
  payload.becomeReadOnly();
}

/**
 * The keys of a volume that was found; the caller destroys them. In the middle of a reencryption a zone that an
 * interruption left hot is recovered, so that `located.layout` holds. For a reader, and where part of the zone is lost,
 * `located.layout` is changed to what can be read, and the payload is read-only from here on.
 * Throws BAD_PASSPHRASE, HEADER_CORRUPT, UNSUPPORTED where the header cannot be written and the payload is to be, BUSY.
 */
export async function unlockKeys(located: LocatedVolume, unlock: Unlock): Promise<VolumeKeys> {
  const { device, header, payload, layout } = located;
  if (!layout.reencryption) {
    const { volumeKey, digestId } = await requireVolumeKey(device, header, unlock);
    if (layout.segments.every(({ digest }) => digest === digestId)) return new Map([[digestId, volumeKey]]);
    volumeKey.destroy();
    // Two digests can claim a segment, and only one of them is the one that counts.
    throw new LuksError('BAD_PASSPHRASE', `this key is one of ${device.path}, but not that of its data`);
  }
  const shifted = findShiftedSides(header);
  if (shifted) return requireReencryptionKeys(device, header, shifted, unlock, false);
  const opened = await unlockReencryption(device, header, payload, unlock);
  try {
    if (layout.reencryption.hasHotZone) await settleHotZone(located, opened);
    return opened.keys;
  } catch (error) {
    destroyKeys(opened.keys);
    throw error;
  }
}

/**
 * Unlocks a volume that was found. Payload and header are the volume's from here on, closed with it or where this fails:
 * the claim on a detached header lasts as long as that on the payload.
 */
export async function unlockVolume(located: LocatedVolume, unlock: Unlock): Promise<Volume> {
  let keys: VolumeKeys | null = null;
  try {
    keys = await unlockKeys(located, unlock);
    // What is in memory only has no claim, and is not kept longer than it must be.
    if (!(located.device instanceof Device)) located.device.close();
    return Volume.create(located.payload, located.layout, keys, null, located.device);
  } catch (error) {
    if (keys) destroyKeys(keys);
    located.device.close();
    located.payload.close();
    throw error;
  }
}

/**
 * Opens the volume on `payloadPath` with a passphrase or its volume key, whose bytes stay the caller's to wipe.
 * Close it after use: that syncs, closes the payload and wipes the key. Until then the payload is claimed as by a writer, or
 * by a reader where `isReadOnly`, and a detached header as by a reader: BUSY where others, or this process, have it.
 * @throws LuksError NOT_LUKS, HEADER_CORRUPT, UNSUPPORTED, DEVICE_IO, NO_MEMORY, BAD_PASSPHRASE, BUSY
 */
export async function openVolume(
  payloadPath: string,
  unlock: Unlock,
  options: LocateOptions = {},
): Promise<Volume> {
  return unlockVolume(locateVolume(payloadPath, options), unlock);
}
