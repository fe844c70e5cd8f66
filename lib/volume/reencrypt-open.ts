/**
 * From a header with an unfinished reencryption, its payload and a key to what goes on with it: how far it is, and the
 * keys of both sides, verified. Only reads.
 */
import { destroyKeys, type Secret, type VolumeKeys } from '../crypto/secret.js';
import type { Device, ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import { type LuksHeader, type Segment, volumeSegments } from '../format/model.js';
import {
  hasParts,
  type Reencryption,
  type ReencryptionSides,
  requireReencryption,
} from '../format/reencryption.js';
import { lockImage } from '../image-lock.js';
import { requireVerified } from '../keyslot/reencrypt-digest.js';
import { requireVolumeKey, type Unlock } from '../keyslot/unlock.js';
import { type ReencryptionTarget, unitBytesOf } from './reencrypt.js';
import { partsOf, type ReencryptionState } from './reencrypt-parts.js';

/** For whoever is to rewrite a payload: nobody else may use it meanwhile, nor its header. Throws BUSY. */
export function claimForWork(device: Device, payload: Device): void {
  lockImage(payload, 'writer');
  if (!device.isSameFile(payload)) lockImage(device, 'writer');
}

/** Bytes of data on the payload. Throws BAD_ARGUMENT where they are not whole sectors, or none. */
export function dataBytes(payload: Device, segment: Segment, unitBytes: number): number {
  const availableBytes = payload.sizeBytes - segment.offsetBytes;
  const totalBytes = segment.sizeBytes === 'dynamic' ? availableBytes : segment.sizeBytes;
  if (totalBytes > 0 && totalBytes <= availableBytes && totalBytes % unitBytes === 0) return totalBytes;
  throw new LuksError(
    'BAD_ARGUMENT',
    `payload ${payload.path} has ${availableBytes} bytes of data, and ${unitBytes} at a time would be rewritten` +
      `${segment.sizeBytes === 'dynamic' ? '' : `, ${segment.sizeBytes} in all`}; give the right payload`,
  );
}

/** The states that a row of segments can mean; `hasParts` tells which. */
function* possibleStates(header: LuksHeader, reencryption: Reencryption, totalBytes: number) {
  const { direction, previous } = reencryption;
  const base = { direction, totalBytes, isDynamic: previous.sizeBytes === 'dynamic', hotBytes: 0 };
  const row = volumeSegments(header);
  const hot = row.find(({ flags }) => flags.includes('in-reencryption'));
  const doneUpTo = (offsetBytes: number, sizeBytes: number) =>
    direction === 'forward'
      ? offsetBytes - previous.offsetBytes
      : totalBytes - (offsetBytes - previous.offsetBytes) - sizeBytes;
  if (hot && hot.sizeBytes !== 'dynamic') {
    yield { ...base, hotBytes: hot.sizeBytes, doneBytes: doneUpTo(hot.offsetBytes, hot.sizeBytes) };
  } else if (row.length === 2) {
    yield { ...base, doneBytes: doneUpTo(row[1]!.offsetBytes, 0) };
  } else {
    yield { ...base, doneBytes: 0 };
    yield { ...base, doneBytes: totalBytes };
  }
}

/** How far the reencryption is. Throws UNSUPPORTED for a row of segments that it cannot have led to. */
export function requireState(
  header: LuksHeader,
  reencryption: Reencryption,
  payload: Device,
): ReencryptionState {
  const totalBytes = dataBytes(payload, reencryption.previous, unitBytesOf(reencryption));
  for (const state of possibleStates(header, reencryption, totalBytes)) {
    const isWithin = state.doneBytes >= 0 && state.doneBytes + state.hotBytes <= totalBytes;
    if (isWithin && hasParts(header, reencryption, partsOf(state))) return state;
  }
  throw new LuksError(
    'UNSUPPORTED',
    'the segments of the header do not tell how far its reencryption is; is the payload the right one? ' +
      'If so: cryptsetup reencrypt --resume-only',
  );
}

/** What opens the keyslots of one digest: a keyslot that was named counts where it is among them. */
function narrow(unlock: Unlock, keyslots: readonly number[]): Unlock {
  if ('volumeKey' in unlock) return unlock;
  const { keyslot, ...rest } = unlock;
  const isNamed = keyslot !== undefined && keyslots.includes(keyslot);
  return { ...rest, among: keyslots, ...(isNamed && { keyslot }) };
}

/**
 * The keys of both sides, by digest. The caller destroys them. Throws BAD_PASSPHRASE where one is missing.
 * With all data in its final form the previous key is not needed, and cryptsetup, which wipes key material before the
 * metadata that names it, may have left none; nor is there anything to verify, as no data is touched any more.
 */
export async function requireReencryptionKeys(
  device: ReadableDevice,
  header: LuksHeader,
  reencryption: ReencryptionSides,
  unlock: Unlock,
  isDone: boolean,
): Promise<VolumeKeys> {
  const { previousDigest, finalDigest } = reencryption;
  const needed = isDone ? [finalDigest] : [previousDigest, finalDigest];
  const digests = new Set(needed.filter((id) => id !== null));
  if ('volumeKey' in unlock && digests.size > 1) {
    throw new LuksError('BAD_ARGUMENT', 'this reencryption has two volume keys; give the passphrase of both');
  }
  const keys = new Map<number, Secret>();
  try {
    for (const id of digests) {
      const { keyslots } = header.digests.get(id)!;
      const { volumeKey } = await requireVolumeKey(device, header, narrow(unlock, keyslots));
      keys.set(id, volumeKey);
    }
    const bytes = new Map([...keys].map(([id, { bytes }]) => [id, bytes]));
    if (!isDone) await requireVerified(header, reencryption, bytes, unlock.limits);
    return keys;
  } catch (error) {
    destroyKeys(keys);
    throw error;
  }
}

/** A reencryption that can be gone on with. The keys are the caller's to destroy. */
export type OpenedReencryption = Pick<ReencryptionTarget, 'reencryption' | 'state' | 'keys'>;

/**
 * How far the reencryption in `header` is, and its keys. Throws BAD_ARGUMENT where there is none, BAD_PASSPHRASE,
 * UNSUPPORTED, HEADER_CORRUPT.
 */
export async function unlockReencryption(
  device: ReadableDevice,
  header: LuksHeader,
  payload: Device,
  unlock: Unlock,
): Promise<OpenedReencryption> {
  const reencryption = requireReencryption(header);
  const state = requireState(header, reencryption, payload);
  const keys = await requireReencryptionKeys(
    device,
    header,
    reencryption,
    unlock,
    state.doneBytes === state.totalBytes,
  );
  return { reencryption, state, keys };
}

/**
 * The same for who has the keys already, by digest; the others are not asked for.
 * Throws HEADER_CORRUPT where they are not those that the reencryption was begun with.
 */
export async function adoptReencryption(
  device: Device,
  payload: Device,
  keys: VolumeKeys,
): Promise<ReencryptionTarget> {
  const header = readHeader(device);
  const reencryption = requireReencryption(header);
  const state = requireState(header, reencryption, payload);
  const { previousDigest, finalDigest } = reencryption;
  const missing = [previousDigest, finalDigest].find((id) => id !== null && !keys.has(id));
  if (missing != null) throw new LuksError('BAD_ARGUMENT', `the key of digest ${missing} is not there`);
  const bytes = new Map([...keys].map(([id, key]) => [id, key.bytes]));
  if (state.doneBytes < state.totalBytes) await requireVerified(header, reencryption, bytes);
  return { device, payload, reencryption, state, keys };
}

/**
 * The unfinished reencryption of the header on `device` (the payload's own where it is attached), ready to be run by
 * `runReencryption`. Devices and keys are the caller's, to close and to destroy. Claims both devices as a writer until they
 * are closed. Throws BUSY where one is in use, and as `unlockReencryption` does.
 */
export async function openReencryption(
  device: Device,
  payload: Device,
  unlock: Unlock,
): Promise<ReencryptionTarget> {
  claimForWork(device, payload);
  return { device, payload, ...(await unlockReencryption(device, readHeader(device), payload, unlock)) };
}
