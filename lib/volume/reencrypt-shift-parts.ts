/**
 * The arithmetic of an encryption that moves its data: how far it is, which stretch comes next and from where, and which
 * parts the device consists of meanwhile. Pure; knows no device and no key.
 */
import type { ShiftedPart } from '../format/reencryption-shift.js';
import type { Extent } from './reencrypt-parts.js';

export interface ShiftState {
  /** Of data. */
  totalBytes: number;
  /** A multiple of whole sectors; the head of the data, which was moved, is as long or all of it. */
  shiftBytes: number;
  movedOffsetBytes: number;
  /** Encrypted at its new place, from the end of the data on, and recorded as such. */
  doneBytes: number;
  /** Before that: being written to its new place, perhaps in part. */
  hotBytes: number;
}

function headBytes({ totalBytes, shiftBytes }: ShiftState): number {
  return Math.min(totalBytes, shiftBytes);
}

/** The next step: no more than the shift, so that nothing is written to where the step reads from; the head comes last. */
export function heatShifted(state: ShiftState): ShiftState {
  const leftBytes = state.totalBytes - state.doneBytes;
  const restBytes = leftBytes - headBytes(state);
  return { ...state, hotBytes: restBytes > 0 ? Math.min(restBytes, state.shiftBytes) : leftBytes };
}

/** The step is done. */
export function coolShifted(state: ShiftState): ShiftState {
  return { ...state, doneBytes: state.doneBytes + state.hotBytes, hotBytes: 0 };
}

/** The stretch of the data that is hot. */
export function hotShiftedExtent({ totalBytes, doneBytes, hotBytes }: ShiftState): Extent {
  return { offsetBytes: totalBytes - doneBytes - hotBytes, sizeBytes: hotBytes };
}

/** Where on the device the hot stretch is read from: the rest of the data is where it always was. */
export function hotSourceBytes(state: ShiftState): number {
  const { offsetBytes } = hotShiftedExtent(state);
  return offsetBytes === 0 ? state.movedOffsetBytes : offsetBytes;
}

/** The parts in the order of the data, none of them empty. */
export function shiftedPartsOf(state: ShiftState): ShiftedPart[] {
  const { totalBytes, shiftBytes, movedOffsetBytes, doneBytes, hotBytes } = state;
  const headSizeBytes = headBytes(state);
  const oldBytes = totalBytes - doneBytes - hotBytes;
  const newOffsetBytes = totalBytes - doneBytes;
  const parts: ShiftedPart[] = [
    { state: 'old', dataOffsetBytes: 0, offsetBytes: movedOffsetBytes, sizeBytes: oldBytes && headSizeBytes },
    {
      state: 'old',
      dataOffsetBytes: headSizeBytes,
      offsetBytes: headSizeBytes,
      sizeBytes: Math.max(0, oldBytes - headSizeBytes),
    },
    {
      state: 'hot',
      dataOffsetBytes: oldBytes,
      offsetBytes: oldBytes + shiftBytes,
      sizeBytes: hotBytes,
    },
    {
      state: 'new',
      dataOffsetBytes: newOffsetBytes,
      offsetBytes: newOffsetBytes + shiftBytes,
      // With all done it is the volume, which has what was given up behind the header as well.
      sizeBytes: doneBytes === totalBytes ? 'dynamic' : doneBytes,
    },
  ];
  return parts.filter(({ sizeBytes }) => sizeBytes !== 0);
}
