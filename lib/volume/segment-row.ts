/**
 * The segments of a volume in the order of their plaintext, and which of them a range of it lies in. Offsets count from
 * the first byte of the first segment. Knows no locks: who asks for parts has the range locked.
 */
import { alignDown, alignUp } from '../bytes.js';
import type { Device } from '../device.js';
import { CryptSegment } from './crypt-segment.js';
import type { SegmentLayout } from './layout.js';
import { LinearSegment } from './linear-segment.js';
import { LostSegment } from './lost-segment.js';
import type { VolumeSegment } from './volume-segment.js';

/** A part of a range, within one segment. */
export interface SegmentPart {
  /** In the segment. */
  startBytes: number;
  /** Bytes of the range that lie before it. */
  doneBytes: number;
  count: number;
}

export type PartWork = (segment: VolumeSegment, part: SegmentPart) => void;

export interface SegmentRow {
  /** The whole sectors around a range: what is to be locked for it. */
  around(startBytes: number, endBytes: number): [startBytes: number, endBytes: number];
  /** Does `work` for the parts of the range that lie in one segment each, in order. */
  eachPart(offsetBytes: number, lengthBytes: number, work: PartWork): void;
}

/** @param keys of the digests that the segment may name */
export function openSegment(
  device: Device,
  layout: SegmentLayout,
  keys: ReadonlyMap<number, Uint8Array>,
): VolumeSegment {
  if (layout.isLost) return new LostSegment(layout);
  const { encryption, digest } = layout;
  if (encryption === null || digest === null) return new LinearSegment(device, layout);
  return new CryptSegment(device, layout, encryption, keys.get(digest)!);
}

/** A row that stays as it is. */
export class FixedRow implements SegmentRow {
  readonly #segments: readonly VolumeSegment[];

  constructor(segments: readonly VolumeSegment[]) {
    this.#segments = segments;
  }

  around(startBytes: number, endBytes: number): [startBytes: number, endBytes: number] {
    const first = this.#at(startBytes).layout;
    const last = this.#at(endBytes - 1).layout;
    return [
      first.startBytes + alignDown(startBytes - first.startBytes, first.sectorSizeBytes),
      last.startBytes + alignUp(endBytes - last.startBytes, last.sectorSizeBytes),
    ];
  }

  eachPart(offsetBytes: number, lengthBytes: number, work: PartWork): void {
    let doneBytes = 0;
    for (const segment of this.#segments) {
      const startBytes = offsetBytes + doneBytes - segment.layout.startBytes;
      const count = Math.min(lengthBytes - doneBytes, segment.layout.sizeBytes - startBytes);
      if (count <= 0) continue;
      work(segment, { startBytes, doneBytes, count });
      doneBytes += count;
    }
  }

  #at(offsetBytes: number): VolumeSegment {
    const [only, more] = this.#segments;
    if (!more) return only!;
    return this.#segments.findLast(({ layout }) => layout.startBytes <= offsetBytes)!;
  }
}
