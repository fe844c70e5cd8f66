/**
 * What a volume asks of each of its segments, encrypted or not.
 */
import type { SegmentLayout } from './layout.js';

/** A stretch of the payload in one form; offsets are relative to it, and its caller keeps them inside it. */
export interface VolumeSegment {
  readonly layout: SegmentLayout;
  /** Which implementation of the cipher runs in this thread. */
  readonly engine: string;
  /** Fills `target` with plaintext from `offsetBytes`. */
  read(target: Uint8Array, offsetBytes: number): void;
  /** Writes `source` at `offsetBytes`, which may encrypt it where it lies. */
  writeInPlace(source: Uint8Array, offsetBytes: number): void;
  /** Gives the storage of the range back, as far as it is whole sectors. */
  discard(offsetBytes: number, lengthBytes: number): void;
  destroy(): void;
}
