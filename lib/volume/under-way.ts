/**
 * A volume in the middle of a reencryption, of whichever kind, as it is used: where its data lies and how far it is. Only reads.
 */
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import type { LuksHeader } from '../format/model.js';
import { type ReencryptionMode, requireReencryption, withParts } from '../format/reencryption.js';
import { findGiveback, type Giveback, isUnmoved } from '../format/reencryption-giveback.js';
import {
  findShiftedEncryption,
  type ShiftedPart,
  type ShiftedSides,
  withShiftedParts,
} from '../format/reencryption-shift.js';
import { requireGivebackState } from './reencrypt-giveback.js';
import { type GivebackState, givebackPartsOf, isHeadsTurn } from './reencrypt-giveback-parts.js';
import { requireState } from './reencrypt-open.js';
import { cool, partsOf } from './reencrypt-parts.js';
import { requireShiftState } from './reencrypt-shift.js';
import { shiftedPartsOf } from './reencrypt-shift-parts.js';

/** How far a reencryption is. */
export interface ReencryptionProgress {
  mode: ReencryptionMode;
  /** With the hot zone, where that is to be recovered. */
  doneBytes: number;
  totalBytes: number;
  /** An interruption has left a zone that may be partly old and partly new: `unlockKeys` settles it before the volume is used. */
  hasHotZone: boolean;
}

export interface UnderWay {
  /** The header with the segments that the volume is used by: as they are when a hot zone has been recovered. */
  settled: LuksHeader;
  progress: ReencryptionProgress;
}

/** The sides of one that moves the data, where nothing needs recovery before their key opens the volume; else null. */
export function findShiftedSides(header: LuksHeader): ShiftedSides | null {
  return findGiveback(header) ?? findShiftedEncryption(header);
}

/**
 * Where the data is moved, a hot stretch is whole where it is read from, and a step that was cut reads it there again. What
 * lies behind the data, given up or left, is not of it while that is not wiped.
 */
function shiftedUnderWay(
  header: LuksHeader,
  mode: ReencryptionMode,
  shifted: ShiftedSides,
  { doneBytes, totalBytes }: { doneBytes: number; totalBytes: number },
  parts: readonly ShiftedPart[],
): UnderWay {
  const bounded = parts.map((part) =>
    part.sizeBytes === 'dynamic' ? { ...part, sizeBytes: totalBytes - part.dataOffsetBytes } : part,
  );
  const progress = { mode, doneBytes, totalBytes, hasHotZone: false };
  return { settled: withShiftedParts(header, shifted, bounded), progress };
}

/** Not at its very beginning, nor at its end: what is left there is done before anybody could use the volume. */
function requireUsable(header: LuksHeader, giveback: Giveback, payload: Device): GivebackState {
  const state = requireGivebackState(header, giveback, payload);
  const isHeadHot = isHeadsTurn(state) && state.hotBytes > 0;
  if (!isUnmoved(header) && !isHeadHot && state.doneBytes < state.totalBytes) return state;
  throw new LuksError(
    'UNSUPPORTED',
    'the decryption was cut short at its beginning or its end, where the volume cannot be used; ' +
      'go on with: luksfuse decrypt --resume-only',
  );
}

/** Throws UNSUPPORTED, HEADER_CORRUPT, BAD_ARGUMENT for another payload. */
export function requireUnderWay(header: LuksHeader, payload: Device): UnderWay {
  const giveback = findGiveback(header);
  if (giveback) {
    const state = requireUsable(header, giveback, payload);
    const parts = givebackPartsOf({ ...state, hotBytes: 0 });
    return shiftedUnderWay(header, 'decrypt', giveback, state, parts);
  }
  const shifted = findShiftedEncryption(header);
  if (shifted) {
    const state = requireShiftState(header, shifted, payload);
    return shiftedUnderWay(header, 'encrypt', shifted, state, shiftedPartsOf({ ...state, hotBytes: 0 }));
  }
  const reencryption = requireReencryption(header);
  const state = requireState(header, reencryption, payload);
  const { doneBytes, totalBytes, hotBytes } = state;
  return {
    settled: withParts(header, reencryption, partsOf(cool(state))),
    progress: {
      mode: reencryption.mode,
      doneBytes: doneBytes + hotBytes,
      totalBytes,
      hasHotZone: hotBytes > 0,
    },
  };
}
