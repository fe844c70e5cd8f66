/**
 * An unlocked volume: its plaintext as a row of bytes, any offset and length, from any number of threads.
 * Knows nothing of FUSE, keyslots or passphrases.
 */
import { wipe } from '../bytes.js';
import { allocateIoBuffer, releaseIoBuffer, requireKernel } from '../crypto/kernel.js';
import { Secret, type SecretHandle } from '../crypto/secret.js';
import { Device, type DeviceHandle } from '../device.js';
import { LuksError, systemError } from '../errors.js';
import { CryptSegment } from './crypt-segment.js';
import type { VolumeLayout } from './layout.js';
import { RangeLock } from './range-lock.js';

/** Work on buffers that are not I/O buffers goes through one of this size. */
const BOUNCE_BYTES = 128 * 1024;

/** What another thread of this process needs to use the same volume. Structured-cloneable; holds no key bytes. */
export interface VolumeHandle {
  device: DeviceHandle;
  layout: VolumeLayout;
  volumeKey: SecretHandle;
  lockMemory: SharedArrayBuffer;
}

/** What the thread that unlocked the volume owns, and gives up in `close`. */
interface Owned {
  device: Device;
  volumeKey: Secret;
}

/** A part of a range, within one segment. */
interface SegmentPart {
  /** In the segment. */
  startBytes: number;
  /** Bytes of the range that lie before it. */
  doneBytes: number;
  count: number;
}

export class Volume {
  readonly handle: VolumeHandle;
  readonly sizeBytes: number;
  /** The smallest unit that is written without reading first. */
  readonly blockSizeBytes: number;
  readonly isReadOnly: boolean;
  readonly #device: Device;
  readonly #segments: CryptSegment[];
  readonly #lock: RangeLock;
  readonly #owned: Owned | null;
  #bounce: Buffer | null = null;
  #isOpen = true;

  private constructor(handle: VolumeHandle, device: Device, owned: Owned | null) {
    this.handle = handle;
    this.sizeBytes = handle.layout.sizeBytes;
    this.blockSizeBytes = Math.max(...handle.layout.segments.map((segment) => segment.sectorSizeBytes));
    this.isReadOnly = device.isReadOnly;
    this.#device = device;
    this.#owned = owned;
    this.#lock = new RangeLock(handle.lockMemory);
    const key = owned?.volumeKey.bytes ?? Secret.borrow(handle.volumeKey);
    this.#segments = handle.layout.segments.map(
      (layout) => new CryptSegment(device, this.#lock, layout, key),
    );
  }

  /** Takes over `device` and `volumeKey`: `close` closes the one and wipes the other. */
  static create(device: Device, layout: VolumeLayout, volumeKey: Secret): Volume {
    const handle: VolumeHandle = {
      device: device.handle,
      layout,
      volumeKey: volumeKey.handle,
      lockMemory: RangeLock.createMemory(),
    };
    return new Volume(handle, device, { device, volumeKey });
  }

  /** The same volume in another thread. Its `close` leaves device and key to the owner. */
  static fromHandle(handle: VolumeHandle): Volume {
    return new Volume(handle, Device.adopt(handle.device), null);
  }

  /** A buffer that `read` and `write` work in without a copy; it is never freed before its thread ends. */
  static allocateIoBuffer(sizeBytes: number): Buffer {
    return allocateIoBuffer(sizeBytes);
  }

  /** Which implementation of the cipher runs in this thread. */
  get engine(): string {
    return this.#segments[0]!.engine;
  }

  get sectorSize(): number {
    return this.blockSizeBytes;
  }

  /** Fills `buffer` with plaintext from `offsetBytes`. Returns the bytes read, fewer only at the end. */
  read(buffer: Uint8Array, offsetBytes: number): number {
    const count = Math.max(0, Math.min(buffer.length, this.sizeBytes - offsetBytes));
    this.#eachSegment(buffer, offsetBytes, count, (segment, part, start) => segment.read(part, start));
    return count;
  }

  /**
   * Writes `buffer` at `offsetBytes`, wholly or with an error (ENOSPC past the end, nothing written then).
   * A buffer from `allocateIoBuffer` is encrypted where it lies: its plaintext is gone afterwards.
   */
  write(buffer: Uint8Array, offsetBytes: number): void {
    this.#checkRange(offsetBytes, buffer.length);
    if (requireKernel().findOffset(buffer) !== null) {
      this.#writeInPlace(buffer, offsetBytes);
      return;
    }
    const bounce = this.#bounceBuffer();
    for (let done = 0; done < buffer.length; done += bounce.length) {
      const piece = buffer.subarray(done, done + bounce.length);
      bounce.set(piece);
      this.#writeInPlace(bounce.subarray(0, piece.length), offsetBytes + done);
    }
  }

  /** Returns when all that was written is on stable storage; throws with the payload's errno. */
  sync(): void {
    this.#device.sync();
  }

  /** Makes the range read as zeros, by writing encrypted zeros. */
  zeroRange(offsetBytes: number, lengthBytes: number): void {
    this.#checkRange(offsetBytes, lengthBytes);
    const bounce = this.#bounceBuffer();
    for (let done = 0; done < lengthBytes; done += bounce.length) {
      const piece = bounce.subarray(0, Math.min(bounce.length, lengthBytes - done)).fill(0);
      this.#writeInPlace(piece, offsetBytes + done);
    }
  }

  /** Reserves space for the range on a payload that is a sparse file, so that writing it cannot fail for space. */
  allocate(offsetBytes: number, lengthBytes: number): void {
    this.#checkRange(offsetBytes, lengthBytes);
    if (this.#device.isBlockDevice) return;
    this.#eachPart(offsetBytes, lengthBytes, ({ layout }, { startBytes, count }) =>
      this.#device.fallocate(0, layout.deviceOffsetBytes + startBytes, count),
    );
  }

  /**
   * Gives the range back to the payload's storage, where the volume allows discards (EOPNOTSUPP where not). Whole
   * sectors read as noise afterwards; a part of a sector reads as zeros.
   */
  discard(offsetBytes: number, lengthBytes: number): void {
    this.#requireWritable();
    if (!this.handle.layout.allowsDiscards) throw systemError('EOPNOTSUPP', 'fallocate');
    this.#checkRange(offsetBytes, lengthBytes);
    this.#eachPart(offsetBytes, lengthBytes, (segment, { startBytes, count }) =>
      segment.discard(startBytes, count),
    );
  }

  /** Forgets the key. The owner also syncs the payload first and closes it; a sync error is thrown after that. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.#bounce) {
      wipe(this.#bounce);
      releaseIoBuffer(this.#bounce);
    }
    for (const segment of this.#segments) segment.destroy();
    this.#lock.close();
    try {
      if (this.#owned && !this.isReadOnly) this.#device.sync();
    } finally {
      this.#owned?.volumeKey.destroy();
      this.#owned?.device.close();
    }
  }

  #writeInPlace(buffer: Uint8Array, offsetBytes: number): void {
    this.#requireWritable();
    this.#eachSegment(buffer, offsetBytes, buffer.length, (segment, part, start) =>
      segment.writeInPlace(part, start),
    );
  }

  #requireWritable(): void {
    if (this.isReadOnly) throw systemError('EROFS', 'write');
  }

  /** A volume offset in the layout's count: the volume may be a window into it. */
  #toLayout(offsetBytes: number): number {
    return this.handle.layout.windowOffsetBytes + offsetBytes;
  }

  #eachSegment(
    buffer: Uint8Array,
    offsetBytes: number,
    lengthBytes: number,
    work: (segment: CryptSegment, part: Uint8Array, startBytes: number) => void,
  ): void {
    this.#eachPart(offsetBytes, lengthBytes, (segment, { startBytes, doneBytes, count }) =>
      work(segment, buffer.subarray(doneBytes, doneBytes + count), startBytes),
    );
  }

  /** The parts of a range that lie in one segment each, in order. */
  #eachPart(
    offsetBytes: number,
    lengthBytes: number,
    work: (segment: CryptSegment, part: SegmentPart) => void,
  ): void {
    let doneBytes = 0;
    for (const segment of this.#segments) {
      const startBytes = this.#toLayout(offsetBytes) + doneBytes - segment.layout.startBytes;
      const count = Math.min(lengthBytes - doneBytes, segment.layout.sizeBytes - startBytes);
      if (count <= 0) continue;
      work(segment, { startBytes, doneBytes, count });
      doneBytes += count;
    }
  }

  #checkRange(offsetBytes: number, lengthBytes: number): void {
    if (!Number.isSafeInteger(offsetBytes) || offsetBytes < 0) {
      throw new LuksError('BAD_ARGUMENT', `offset ${offsetBytes} is not a byte offset`);
    }
    if (offsetBytes + lengthBytes > this.sizeBytes) throw systemError('ENOSPC', 'write');
  }

  #bounceBuffer(): Buffer {
    this.#bounce ??= allocateIoBuffer(BOUNCE_BYTES);
    return this.#bounce;
  }
}
