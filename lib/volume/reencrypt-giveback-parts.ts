/**
 * The arithmetic of a decryption that gives back the room of its header: how far it is, which stretch comes next and from
 * where, and which parts the payload consists of meanwhile. Pure; knows no device and no key.
 */
import { alignDown } from '../bytes.js';
import type { ShiftedPart } from '../format/reencryption-shift.js';
import type { Extent } from './reencrypt-parts.js';

export interface GivebackState {
  /** Of data. */
  totalBytes: number;
  shiftBytes: number;
  /** Of data that was copied to the payload's start, no more than the shift; its turn comes last. */
  headBytes: number;
  /** Plain, and recorded as such: of what is behind the head, then of all. */
  doneBytes: number;
  /** Behind that: being rewritten, perhaps in part. */
  hotBytes: number;
}

function restBytes({ totalBytes, headBytes }: GivebackState): number {
  return totalBytes - headBytes;
}

/** True when all but the head is done. */
export function isHeadsTurn(state: GivebackState): boolean {
  return state.doneBytes >= restBytes(state) && state.doneBytes < state.totalBytes;
}

/** The next step: no more than the shift, so that nothing is written to where the step reads from; the head is one. */
export function heatGiveback(state: GivebackState, zoneBytes: number, unitBytes: number): GivebackState {
  if (isHeadsTurn(state)) return { ...state, hotBytes: state.headBytes };
  const leftBytes = restBytes(state) - state.doneBytes;
  const wholeBytes = Math.max(unitBytes, alignDown(Math.min(zoneBytes, state.shiftBytes), unitBytes));
  return { ...state, hotBytes: Math.min(leftBytes, wholeBytes) };
}

/** The step is done. */
export function coolGiveback(state: GivebackState): GivebackState {
  return { ...state, doneBytes: state.doneBytes + state.hotBytes, hotBytes: 0 };
}

/** The stretch of the data that is hot; it is written to where it says. */
export function hotGivebackExtent(state: GivebackState): Extent {
  const { headBytes, doneBytes, hotBytes } = state;
  return { offsetBytes: isHeadsTurn(state) ? 0 : headBytes + doneBytes, sizeBytes: hotBytes };
}

/** The parts in the order of the data, none of them empty. */
export function givebackPartsOf(state: GivebackState): ShiftedPart[] {
  const { totalBytes, shiftBytes, headBytes, doneBytes, hotBytes } = state;
  if (doneBytes === totalBytes) {
    return [{ state: 'new', dataOffsetBytes: 0, offsetBytes: 0, sizeBytes: 'dynamic' }];
  }
  const isHeadHot = isHeadsTurn(state) && hotBytes > 0;
  const hotOffsetBytes = headBytes + doneBytes;
  const restHotBytes = isHeadHot ? 0 : hotBytes;
  const oldOffsetBytes = hotOffsetBytes + restHotBytes;
  const isLast = hotOffsetBytes === totalBytes;
  const parts: ShiftedPart[] = [
    { state: isHeadHot ? 'hot' : 'old', dataOffsetBytes: 0, offsetBytes: 0, sizeBytes: headBytes },
    {
      state: 'new',
      dataOffsetBytes: headBytes,
      offsetBytes: headBytes,
      // What ends the data is as long as the payload lets it be; a hot part never is.
      sizeBytes: doneBytes > 0 && isLast ? 'dynamic' : doneBytes,
    },
    {
      state: 'hot',
      dataOffsetBytes: hotOffsetBytes,
      offsetBytes: hotOffsetBytes,
      sizeBytes: restHotBytes,
    },
    {
      state: 'old',
      dataOffsetBytes: oldOffsetBytes,
      offsetBytes: oldOffsetBytes + shiftBytes,
      sizeBytes: oldOffsetBytes < totalBytes ? 'dynamic' : 0,
    },
  ];
  return parts.filter(({ sizeBytes }) => sizeBytes !== 0);
}
