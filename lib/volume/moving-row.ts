/**
 * The two segments of a volume that is reencrypted while it is in use: each as long as the volume, the one valid before
 * the border and the other behind it.
 */
import { alignDown, alignUp } from '../bytes.js';
import type { Frontier } from './frontier.js';
import type { PartWork, SegmentRow } from './segment-row.js';
import type { VolumeSegment } from './volume-segment.js';

export class MovingRow implements SegmentRow {
  readonly #before: VolumeSegment;
  readonly #behind: VolumeSegment;
  readonly #frontier: Frontier;
  /** Every border is a multiple of it, so that no sector of either form lies on both sides. */
  readonly #unitBytes: number;

  constructor([before, behind]: readonly VolumeSegment[], frontier: Frontier) {
    this.#before = before!;
    this.#behind = behind!;
    this.#frontier = frontier;
    this.#unitBytes = Math.max(before!.layout.sectorSizeBytes, behind!.layout.sectorSizeBytes);
  }

  around(startBytes: number, endBytes: number): [startBytes: number, endBytes: number] {
    return [alignDown(startBytes, this.#unitBytes), alignUp(endBytes, this.#unitBytes)];
  }

  eachPart(offsetBytes: number, lengthBytes: number, work: PartWork): void {
    const border = this.#frontier.borderFor(...this.around(offsetBytes, offsetBytes + lengthBytes));
    const beforeBytes = Math.max(0, Math.min(lengthBytes, border - offsetBytes));
    if (beforeBytes > 0) work(this.#before, { startBytes: offsetBytes, doneBytes: 0, count: beforeBytes });
    if (beforeBytes === lengthBytes) return;
    work(this.#behind, {
      startBytes: offsetBytes + beforeBytes,
      doneBytes: beforeBytes,
      count: lengthBytes - beforeBytes,
    });
  }
}
