/**
 * The key of a volume from whatever the caller has: a passphrase, or the key itself. Only reads.
 */
import type { KdfLimits } from '../crypto/kdf.js';
import { Secret } from '../crypto/secret.js';
import type { Device, ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { changedMeanwhile } from '../format/change.js';
import { findDigestOf, type LuksHeader } from '../format/model.js';
import { verifyVolumeKey } from './digest.js';
import { type OpenKeyslotOptions, openKeyslot } from './open.js';

/** A passphrase with the options of `openKeyslot`, or a volume key. The bytes stay the caller's. */
export type Unlock =
  | ({ passphrase: Uint8Array } & OpenKeyslotOptions)
  | { volumeKey: Uint8Array; limits?: KdfLimits };

export interface Unlocked {
  volumeKey: Secret;
  /** Null where the key itself was given. */
  keyslot: number | null;
  digestId: number;
}

/** The caller owns the Secret. Throws BAD_PASSPHRASE where nothing fits. */
export async function requireVolumeKey(
  device: ReadableDevice,
  header: LuksHeader,
  unlock: Unlock,
): Promise<Unlocked> {
  if ('volumeKey' in unlock) {
    const digestId = await verifyVolumeKey(header, unlock.volumeKey, unlock.limits);
    if (digestId === null) {
      throw new LuksError(
        'BAD_PASSPHRASE',
        `the volume key given is not that of ${device.path}; check both files`,
      );
    }
    return { volumeKey: Secret.takeFrom(Buffer.from(unlock.volumeKey)), keyslot: null, digestId };
  }
  const opened = await openKeyslot(device, header, unlock.passphrase, unlock);
  if (opened) return { ...opened, digestId: findDigestOf(header, opened.keyslot)!.id };
  throw misfit(device, header, unlock.keyslot);
}

/** What opened a header, as it is written there. */
function lockOf({ uuid, digests, keyslots }: LuksHeader, { keyslot, digestId }: Unlocked): string {
  const { keyslots: _, ...digest } = digests.get(digestId) ?? {};
  return JSON.stringify([uuid, digest, keyslot === null ? null : keyslots.get(keyslot)]);
}

/**
 * Throws BUSY unless `now`, read under the lock, has the volume key and the keyslot that opened `before`. Other keyslots
 * may have come and gone.
 */
export function requireStillOpening(
  device: Device,
  before: LuksHeader,
  now: LuksHeader,
  opened: Unlocked,
): void {
  if (lockOf(before, opened) !== lockOf(now, opened)) throw changedMeanwhile(device);
}

/** Says what to look at, for the most usual reasons are not the passphrase itself. */
function misfit(device: ReadableDevice, header: LuksHeader, keyslot: number | undefined): LuksError {
  if (header.keyslots.size === 0) {
    return new LuksError(
      'BAD_PASSPHRASE',
      `no passphrase opens ${device.path}: it has no keyslots; restore a backup of it with: luksfuse header-restore`,
    );
  }
  const what = keyslot === undefined ? 'opens no keyslot' : `does not open keyslot ${keyslot}`;
  const ignored = [...header.keyslots].filter(([, { priority }]) => priority === 0).map(([id]) => id);
  const hint =
    keyslot === undefined && ignored.length > 0
      ? `, or name a keyslot that is else ignored (${ignored.join(', ')}) with --key-slot`
      : '';
  return new LuksError(
    'BAD_PASSPHRASE',
    `this passphrase ${what} of ${device.path}; check it (in a key file every byte counts, a last newline too), ` +
      `and that this is the right header${hint}`,
  );
}
