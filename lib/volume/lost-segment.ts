/**
 * A stretch of a volume that an interrupted reencryption left in no form that is known: whoever touches it gets EIO, and
 * not noise.
 */
import { systemError } from '../errors.js';
import type { SegmentLayout } from './layout.js';
import type { VolumeSegment } from './volume-segment.js';

export class LostSegment implements VolumeSegment {
  readonly layout: SegmentLayout;
  readonly engine = 'none';

  constructor(layout: SegmentLayout) {
    this.layout = layout;
  }

  read(): void {
    throw systemError('EIO', 'read');
  }

  writeInPlace(): void {
    throw systemError('EIO', 'write');
  }

  discard(): void {
    throw systemError('EIO', 'fallocate');
  }

  destroy(): void {}
}
