/**
 * One segment of a payload that is not encrypted: what a reencryption has not reached yet, or has left behind (LUKS2
 * on-disk format, "Segments", type linear). Offsets are relative to the segment, as for a `CryptSegment`.
 */
import type { Device } from '../device.js';
import type { SegmentLayout } from './layout.js';
import type { VolumeSegment } from './volume-segment.js';

export class LinearSegment implements VolumeSegment {
  readonly layout: SegmentLayout;
  readonly engine = 'none';
  readonly #device: Device;

  constructor(device: Device, layout: SegmentLayout) {
    this.layout = layout;
    this.#device = device;
  }

  read(target: Uint8Array, offsetBytes: number): void {
    this.#device.readFullyAt(target, this.layout.deviceOffsetBytes + offsetBytes);
  }

  writeInPlace(source: Uint8Array, offsetBytes: number): void {
    this.#device.writeAt(source, this.layout.deviceOffsetBytes + offsetBytes);
  }

  discard(offsetBytes: number, lengthBytes: number): void {
    this.#device.discard(this.layout.deviceOffsetBytes + offsetBytes, lengthBytes);
  }

  destroy(): void {}
}
