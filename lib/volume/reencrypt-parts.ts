/**
 * The arithmetic of a reencryption: how far it is, which stretch comes next, and which parts the payload consists of
 * meanwhile. Pure; knows no device and no key.
 */
import { alignDown } from '../bytes.js';
import type { Direction, Part } from '../format/reencryption.js';

export interface Extent {
  /** From the payload's first byte of data. */
  offsetBytes: number;
  sizeBytes: number;
}

export interface ReencryptionState {
  direction: Direction;
  totalBytes: number;
  /** What the header calls the size of the last segment. */
  isDynamic: boolean;
  /** Converted, and recorded as such. */
  doneBytes: number;
  /** Behind that (before it, backward): being converted, perhaps in part. */
  hotBytes: number;
}

/** A stretch of an interrupted zone: in one form, or in neither. */
export interface Piece extends Extent {
  state: 'new' | 'old' | 'lost';
}

/** Appends `piece` to the pieces before it, as a part of the last one if it goes on with that. */
export function appendPiece(pieces: Piece[], piece: Piece): void {
  const last = pieces.at(-1);
  if (last?.state === piece.state) last.sizeBytes += piece.sizeBytes;
  else pieces.push({ ...piece });
}

/** The stretch that is being converted. */
export function hotExtent(state: ReencryptionState): Extent {
  const { direction, totalBytes, doneBytes, hotBytes } = state;
  const offsetBytes = direction === 'forward' ? doneBytes : totalBytes - doneBytes - hotBytes;
  return { offsetBytes, sizeBytes: hotBytes };
}

/** The next step: a hot zone of at most `zoneBytes`, whose inner border is a multiple of `unitBytes`. */
export function heat(state: ReencryptionState, zoneBytes: number, unitBytes: number): ReencryptionState {
  const leftBytes = state.totalBytes - state.doneBytes;
  if (leftBytes <= Math.max(zoneBytes, unitBytes)) return { ...state, hotBytes: leftBytes };
  const wholeBytes = Math.max(unitBytes, alignDown(zoneBytes, unitBytes));
  // The payload's end need not be whole units; its start always is.
  const ragged = state.direction === 'backward' ? leftBytes % unitBytes : 0;
  return { ...state, hotBytes: ragged === 0 ? wholeBytes : wholeBytes - unitBytes + ragged };
}

/** The step is done. */
export function cool(state: ReencryptionState): ReencryptionState {
  return { ...state, doneBytes: state.doneBytes + state.hotBytes, hotBytes: 0 };
}

/** The parts in their order on the payload, none of them empty. */
export function partsOf(state: ReencryptionState): Part[] {
  const { direction, totalBytes, isDynamic, doneBytes, hotBytes } = state;
  const sizes: [Part['state'], number][] = [
    ['new', doneBytes],
    ['hot', hotBytes],
    ['old', totalBytes - doneBytes - hotBytes],
  ];
  if (direction === 'backward') sizes.reverse();
  const parts: Part[] = [];
  let offsetBytes = 0;
  for (const [name, sizeBytes] of sizes) {
    if (sizeBytes === 0) continue;
    const isLast = offsetBytes + sizeBytes === totalBytes;
    // A hot part is no volume's end: what is recovered must be known without the payload's size.
    const isOpen = isLast && isDynamic && name !== 'hot';
    parts.push({ state: name, offsetBytes, sizeBytes: isOpen ? 'dynamic' : sizeBytes });
    offsetBytes += sizeBytes;
  }
  return parts;
}
