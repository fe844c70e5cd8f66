/**
 * An unlocked volume: its plaintext as a row of bytes, any offset and length, from any number of threads.
 * Knows nothing of FUSE, keyslots or passphrases.
 */
import { partOf, wipe } from '../bytes.js';
import { allocateIoBuffer, releaseIoBuffer, requireKernel } from '../crypto/kernel.js';
import { destroyKeys, Secret, type SecretHandle, type VolumeKeys } from '../crypto/secret.js';
import { Device, type DeviceHandle, type ReadableDevice, requireRange } from '../device.js';
import { systemError } from '../errors.js';
import { Frontier } from './frontier.js';
import type { VolumeLayout } from './layout.js';
import { MovingRow } from './moving-row.js';
import { RangeLock } from './range-lock.js';
import { FixedRow, openSegment, type PartWork, type SegmentRow } from './segment-row.js';
import type { VolumeSegment } from './volume-segment.js';

/** Work on buffers that are not I/O buffers goes through one of this size. */
const BOUNCE_BYTES = 128 * 1024;

/** What another thread of this process needs to use the same volume. Structured-cloneable; holds no key bytes. */
export interface VolumeHandle {
  device: DeviceHandle;
  layout: VolumeLayout;
  /** By digest. */
  keys: ReadonlyMap<number, SecretHandle>;
  lockMemory: SharedArrayBuffer;
  /** Of a volume whose two segments meet at a moving border (`MovingRow`), else null. */
  frontierMemory: SharedArrayBuffer | null;
}

/** What the thread that unlocked the volume owns, and gives up in `close`. */
interface Owned {
  device: Device;
  keys: VolumeKeys;
  header: ReadableDevice | null;
}

export class Volume {
  readonly sizeBytes: number;
  /** The smallest unit that is written without reading first. */
  readonly blockSizeBytes: number;
  readonly isReadOnly: boolean;
  readonly #handle: VolumeHandle;
  readonly #device: Device;
  readonly #segments: readonly VolumeSegment[];
  readonly #row: SegmentRow;
  readonly #lock: RangeLock;
  readonly #owned: Owned | null;
  #bounce: Buffer | null = null;
  #isOpen = true;

  private constructor(handle: VolumeHandle, device: Device, owned: Owned | null) {
    this.#handle = handle;
    this.sizeBytes = handle.layout.sizeBytes;
    this.blockSizeBytes = Math.max(...handle.layout.segments.map((segment) => segment.sectorSizeBytes));
    this.isReadOnly = device.isReadOnly;
    this.#device = device;
    this.#owned = owned;
    const keys = new Map([...handle.keys].map(([digest, key]) => [digest, Secret.borrow(key)]));
    const segments: VolumeSegment[] = [];
    this.#segments = segments;
    try {
      for (const layout of handle.layout.segments) segments.push(openSegment(device, layout, keys));
      this.#lock = new RangeLock(handle.lockMemory);
    } catch (error) {
      for (const segment of segments) segment.destroy();
      throw error;
    }
    const { frontierMemory } = handle;
    this.#row = frontierMemory
      ? new MovingRow(this.#segments, new Frontier(frontierMemory))
      : new FixedRow(this.#segments);
  }

  /**
   * Takes over `device` and `keys`: `close` closes the one and wipes the others.
   * @param header closed with the volume too, for the claim on it
   * @param frontier where the border between the two segments of a `movingLayout` is
   */
  static create(
    device: Device,
    layout: VolumeLayout,
    keys: VolumeKeys,
    frontier: Frontier | null = null,
    header: ReadableDevice | null = null,
  ): Volume {
    const handle: VolumeHandle = {
      device: device.handle,
      layout,
      keys: new Map([...keys].map(([digest, key]) => [digest, key.handle])),
      lockMemory: RangeLock.createMemory(),
      frontierMemory: frontier?.memory ?? null,
    };
    return new Volume(handle, device, { device, keys, header });
  }

  /** The same volume in another thread. Its `close` leaves device and keys to the owner. */
  static fromHandle(handle: VolumeHandle): Volume {
    return new Volume(handle, Device.adopt(handle.device), null);
  }

  /** A buffer that `read` and `write` work in without a copy; it is never freed before its thread ends. */
  static allocateIoBuffer(sizeBytes: number): Buffer {
    requireRange(0, sizeBytes);
    return allocateIoBuffer(sizeBytes);
  }

  /** For other threads, until it is closed: EBADF then, for its keys and its descriptor are gone. */
  get handle(): VolumeHandle {
    this.#requireOpen();
    return this.#handle;
  }

  /** Which implementation of the cipher runs in this thread. */
  get engine(): string {
    return (this.#segments.find(({ layout }) => layout.encryption !== null) ?? this.#segments[0]!).engine;
  }

  get sectorSize(): number {
    return this.blockSizeBytes;
  }

  /** Fills `buffer` with plaintext from `offsetBytes`. Returns the bytes read, fewer only at the end. */
  read(buffer: Uint8Array, offsetBytes: number): number {
    this.#requireBytes(offsetBytes, buffer.length);
    const count = Math.max(0, Math.min(buffer.length, this.sizeBytes - offsetBytes));
    this.#eachPart('reader', offsetBytes, count, (segment, { startBytes, doneBytes, count: size }) =>
      segment.read(partOf(buffer, doneBytes, size), startBytes),
    );
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
    this.#requireOpen();
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
    this.#eachPart('reader', offsetBytes, lengthBytes, ({ layout }, { startBytes, count }) =>
      this.#device.fallocate(0, layout.deviceOffsetBytes + startBytes, count),
    );
  }

  /**
   * Gives the range back to the payload's storage, where the volume allows discards (EOPNOTSUPP where not). Whole
   * sectors read as noise afterwards; a part of a sector reads as zeros.
   */
  discard(offsetBytes: number, lengthBytes: number): void {
    this.#requireWritable();
    if (!this.#handle.layout.allowsDiscards) throw systemError('EOPNOTSUPP', 'fallocate');
    this.#checkRange(offsetBytes, lengthBytes);
    this.#eachPart('writer', offsetBytes, lengthBytes, (segment, { startBytes, count }) =>
      segment.discard(startBytes, count),
    );
  }

  /** Forgets the keys. The owner also syncs the payload first and closes it; a sync error is thrown after that. */
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
      if (this.#owned) destroyKeys(this.#owned.keys);
      this.#owned?.device.close();
      this.#owned?.header?.close();
    }
  }

  #writeInPlace(buffer: Uint8Array, offsetBytes: number): void {
    this.#requireWritable();
    this.#eachPart('writer', offsetBytes, buffer.length, (segment, { startBytes, doneBytes, count }) =>
      segment.writeInPlace(partOf(buffer, doneBytes, count), startBytes),
    );
  }

  #requireWritable(): void {
    if (this.isReadOnly) throw systemError('EROFS', 'write');
  }

  /** Does `work` on the parts of a range while nobody writes in the sectors around it, nor reads, for a writer. */
  #eachPart(as: 'reader' | 'writer', offsetBytes: number, lengthBytes: number, work: PartWork): void {
    if (lengthBytes === 0) return;
    const startBytes = this.#toLayout(offsetBytes);
    const [lockStart, lockEnd] = this.#row.around(startBytes, startBytes + lengthBytes);
    if (as === 'writer') this.#lock.acquireExclusive(lockStart, lockEnd);
    else this.#lock.acquireShared(lockStart, lockEnd);
    try {
      this.#row.eachPart(startBytes, lengthBytes, work);
    } finally {
      this.#lock.release();
    }
  }

  /** A volume offset in the layout's count: the volume may be a window into it. */
  #toLayout(offsetBytes: number): number {
    return this.#handle.layout.windowOffsetBytes + offsetBytes;
  }

  #requireOpen(): void {
    if (!this.#isOpen) throw systemError('EBADF', 'volume');
  }

  #requireBytes(offsetBytes: number, lengthBytes: number): void {
    this.#requireOpen();
    requireRange(offsetBytes, lengthBytes);
  }

  #checkRange(offsetBytes: number, lengthBytes: number): void {
    this.#requireBytes(offsetBytes, lengthBytes);
    if (offsetBytes + lengthBytes > this.sizeBytes) throw systemError('ENOSPC', 'write');
  }

  #bounceBuffer(): Buffer {
    this.#bounce ??= allocateIoBuffer(BOUNCE_BYTES);
    return this.#bounce;
  }
}
