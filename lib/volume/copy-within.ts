/**
 * Bytes of a device copied to another place on it that does not overlap.
 */
import type { Device } from '../device.js';

const PIECE_BYTES = 1024 * 1024;

/** On stable storage when it returns. */
export function copyWithin(device: Device, fromBytes: number, toBytes: number, sizeBytes: number): void {
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let done = 0; done < sizeBytes; done += PIECE_BYTES) {
    const part = piece.subarray(0, Math.min(PIECE_BYTES, sizeBytes - done));
    device.readFullyAt(part, fromBytes + done);
    device.writeAt(part, toBytes + done);
  }
  device.sync();
}
