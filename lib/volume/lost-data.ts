/**
 * Data that an interrupted reencryption has lost: which bytes of the plaintext, and the error that says so.
 */
import { LuksError } from '../errors.js';
import type { Extent, Piece } from './reencrypt-parts.js';

/** A message names no more than these. */
const MAX_NAMED = 8;

/** The lost ones, as bytes of the plaintext. */
export function lostExtents(pieces: readonly Piece[]): Extent[] {
  return pieces
    .filter(({ state }) => state === 'lost')
    .map(({ offsetBytes, sizeBytes }) => ({ offsetBytes, sizeBytes }));
}

/** `4096 bytes at 65536 and 512 bytes at 98304`, for people; the first few of many. */
export function describeExtents(extents: readonly Extent[], most = MAX_NAMED): string {
  const named = extents.slice(0, most).map((each) => `${each.sizeBytes} bytes at ${each.offsetBytes}`);
  const rest = extents.length - named.length;
  if (rest > 0) named.push(`${rest} more stretches`);
  const last = named.pop();
  return named.length === 0 ? `${last}` : `${named.join(', ')} and ${last}`;
}

/** Of a `VolumeLayout`, what tells. */
interface Layout {
  segments: readonly { startBytes: number; sizeBytes: number; isLost?: boolean }[];
}

/** What nobody can read of the volume, and what to do about it, for people; null where all is there. */
export function findLoss({ segments }: Layout): string | null {
  const lost = segments.filter(({ isLost }) => isLost);
  if (lost.length === 0) return null;
  const extents = lost.map(({ startBytes, sizeBytes }) => ({ offsetBytes: startBytes, sizeBytes }));
  return (
    `a reencryption was interrupted, and of the plaintext ${describeExtents(extents)} cannot be read (EIO); ` +
    'the volume is read-only; see what can be done with: luksfuse repair'
  );
}

/** Throws DEVICE_IO where part of the volume cannot be read. @param operation for the message: `write` */
export function requireNothingLost(layout: Layout, operation: string): void {
  const loss = findLoss(layout);
  if (loss !== null) throw new LuksError('DEVICE_IO', `cannot ${operation}: ${loss}`);
}

/**
 * Part of a zone is neither in its old form nor in its new one, and nothing brings it back. The rest of the zone is in its
 * new form, and the header still calls all of it hot.
 */
export class LostData extends LuksError {
  /** All of the zone. */
  readonly pieces: readonly Piece[];

  constructor(pieces: readonly Piece[]) {
    super(
      'DEVICE_IO',
      'the reencryption was interrupted, and part of the data is neither in its old form nor in its new one: of the ' +
        `plaintext ${describeExtents(lostExtents(pieces))} are lost; put them back from a backup of the payload, or give ` +
        'them up, so that the work can go on: luksfuse repair --force',
    );
    this.pieces = pieces;
  }
}
