/**
 * A volume in the middle of a reencryption, of either kind, as it is used: where its data lies and how far it is. Only reads.
 */
import type { Device } from '../device.js';
import type { LuksHeader } from '../format/model.js';
import { type ReencryptionMode, requireReencryption, withParts } from '../format/reencryption.js';
import { findShiftedEncryption, withShiftedParts } from '../format/reencryption-shift.js';
import { requireState } from './reencrypt-open.js';
import { cool, partsOf } from './reencrypt-parts.js';
import { requireShiftState } from './reencrypt-shift.js';
import { usablePartsOf } from './reencrypt-shift-parts.js';

/**
 * `header` with the segments that the volume is used by: as they are when its hot zone, if it has one that needs it, has
 * been recovered. Throws UNSUPPORTED, HEADER_CORRUPT, BAD_ARGUMENT for another payload.
 */
export function settledHeader(header: LuksHeader, payload: Device): LuksHeader {
  const shifted = findShiftedEncryption(header);
  if (shifted) {
    return withShiftedParts(header, shifted, usablePartsOf(requireShiftState(header, shifted, payload)));
  }
  const reencryption = requireReencryption(header);
  return withParts(header, reencryption, partsOf(cool(requireState(header, reencryption, payload))));
}

/** How far a reencryption is. */
export interface ReencryptionProgress {
  mode: ReencryptionMode;
  /** With the hot zone, where that is to be recovered. */
  doneBytes: number;
  totalBytes: number;
  /** A cut has left a zone that is neither old nor new; it must be recovered before the volume is used. */
  hasHotZone: boolean;
}

/** Throws as `settledHeader` does. */
export function requireProgress(header: LuksHeader, payload: Device): ReencryptionProgress {
  const shifted = findShiftedEncryption(header);
  if (shifted) {
    const { doneBytes, totalBytes } = requireShiftState(header, shifted, payload);
    return { mode: 'encrypt', doneBytes, totalBytes, hasHotZone: false };
  }
  const reencryption = requireReencryption(header);
  const { doneBytes, totalBytes, hotBytes } = requireState(header, reencryption, payload);
  const { mode } = reencryption;
  return { mode, doneBytes: doneBytes + hotBytes, totalBytes, hasHotZone: hotBytes > 0 };
}
