/**
 * A file, a block device or a piece of memory as a row of bytes with a fixed size: the header's device, the
 * payload's device. Every call blocks its thread. Knows nothing of LUKS.
 */
import fs from 'node:fs';
import { dirname } from 'node:path';
import { wipe } from './bytes.js';
import { isSystemError, LuksError, systemError } from './errors.js';
import {
  BLKDISCARD,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocateSync,
  ioctlSync,
} from './native/file.js';
import { readInto, writeFrom } from './native/transfer.js';

/** What a device is, for another thread of this process that shares the descriptor. */
export interface DeviceHandle {
  fd: number;
  path: string;
  sizeBytes: number;
  isBlockDevice: boolean;
  isReadOnly: boolean;
}

/** A row of bytes that can only be read: all that opening a volume needs of its header. */
export interface ReadableDevice {
  /** What messages call it. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Fills `buffer` from `offsetBytes`; returns the bytes read, fewer only at the end of the device. */
  readAt(buffer: Uint8Array, offsetBytes: number): number;
  /** Fills `buffer` or throws EIO: the device ends before it should. */
  readFullyAt(buffer: Uint8Array, offsetBytes: number): void;
  close(): void;
}

/** Throws BAD_ARGUMENT for a negative offset, which the system takes for "where it was", and for what is no count. */
export function requireRange(offsetBytes: number, lengthBytes: number): void {
  const areCounts = Number.isSafeInteger(offsetBytes) && Number.isSafeInteger(lengthBytes);
  if (areCounts && offsetBytes >= 0 && lengthBytes >= 0) return;
  throw new LuksError('BAD_ARGUMENT', `${lengthBytes} bytes at ${offsetBytes} are no range of bytes`);
}

/** A block device's size is not in its inode; sysfs has it, in 512-byte units. */
function blockDeviceSizeBytes(stat: fs.BigIntStats): number {
  const major = (stat.rdev >> 8n) & 0xfffn;
  const minor = (stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n);
  return Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'ascii')) * 512;
}

function describe(fd: number, path: string): Pick<DeviceHandle, 'sizeBytes' | 'isBlockDevice'> {
  const stat = fs.fstatSync(fd, { bigint: true });
  if (stat.isBlockDevice()) return { sizeBytes: blockDeviceSizeBytes(stat), isBlockDevice: true };
  if (stat.isFile()) return { sizeBytes: Number(stat.size), isBlockDevice: false };
  throw new LuksError(
    'BAD_ARGUMENT',
    `${path} is neither a regular file nor a block device; only a header that is not written to can come from elsewhere`,
  );
}

/** A new file's name is on stable storage only when its directory is. */
export function syncDirectoryOf(file: string): void {
  const fd = fs.openSync(dirname(file), 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

export class Device implements ReadableDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly isBlockDevice: boolean;
  readonly #fd: number;
  #isReadOnly: boolean;
  #isOpen = true;

  private constructor(handle: DeviceHandle) {
    this.#fd = handle.fd;
    this.path = handle.path;
    this.sizeBytes = handle.sizeBytes;
    this.isBlockDevice = handle.isBlockDevice;
    this.#isReadOnly = handle.isReadOnly;
  }

  /** Whoever uses the device may only read it. */
  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  /** Has it used as if it had been opened for reading. What has its descriptor already is not told. */
  becomeReadOnly(): void {
    this.#isReadOnly = true;
  }

  /** The descriptor. Throws EBADF once the device is closed: the next file that is opened gets the number. */
  get fd(): number {
    if (!this.#isOpen) throw systemError('EBADF', 'device');
    return this.#fd;
  }

  /**
   * Opens `path`; the size is taken once, here. `isShared` lets a block device be written that is in use: a header
   * changes beside the payload behind it. Throws DEVICE_IO, or BUSY, with the system's reason.
   */
  static open(path: string, options: { isReadOnly: boolean; isShared?: boolean }): Device {
    // O_NONBLOCK: a FIFO is refused below, and must not hang us before that. O_EXCL without O_CREAT keeps a block
    // device that is mounted, or held by another exclusively, from being written here (open(2)); else it is nothing.
    const { O_RDONLY, O_RDWR, O_NONBLOCK, O_EXCL } = fs.constants;
    const forWriting = options.isShared ? O_RDWR : O_RDWR | O_EXCL;
    let fd: number;
    try {
      fd = fs.openSync(path, O_NONBLOCK | (options.isReadOnly ? O_RDONLY : forWriting));
    } catch (cause) {
      const code = isSystemError(cause) && cause.code === 'EBUSY' ? 'BUSY' : 'DEVICE_IO';
      throw new LuksError(code, `cannot open ${path}: ${(cause as Error).message}`, { cause });
    }
    try {
      return new Device({ fd, path, isReadOnly: options.isReadOnly, ...describe(fd, path) });
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /** The device behind a descriptor that was inherited, or that another thread opened and closes. */
  static adopt(handle: DeviceHandle): Device {
    return new Device(handle);
  }

  /** True where both are one file, or one block device. */
  isSameFile(other: Device): boolean {
    const [own, others] = [fs.fstatSync(this.fd), fs.fstatSync(other.fd)];
    if (this.isBlockDevice && other.isBlockDevice) return own.rdev === others.rdev;
    return own.dev === others.dev && own.ino === others.ino;
  }

  get handle(): DeviceHandle {
    const { fd, path, sizeBytes, isBlockDevice, isReadOnly } = this;
    return { fd, path, sizeBytes, isBlockDevice, isReadOnly };
  }

  /** Fills `buffer` from `offsetBytes`; returns the bytes read, fewer only at the end of the device. */
  readAt(buffer: Uint8Array, offsetBytes: number): number {
    requireRange(offsetBytes, buffer.length);
    const { fd } = this;
    let done = 0;
    while (done < buffer.length) {
      const count = readInto(fd, buffer, done, buffer.length - done, offsetBytes + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  /** Fills `buffer` or throws EIO: the device ends before it should, so it shrank under us. */
  readFullyAt(buffer: Uint8Array, offsetBytes: number): void {
    if (this.readAt(buffer, offsetBytes) < buffer.length) throw systemError('EIO', 'read');
  }

  /** Writes all of `buffer` at `offsetBytes`, or throws with the system's errno; part of it may be written then. */
  writeAt(buffer: Uint8Array, offsetBytes: number): void {
    requireRange(offsetBytes, buffer.length);
    const { fd } = this;
    let done = 0;
    while (done < buffer.length) {
      const count = writeFrom(fd, buffer, done, buffer.length - done, offsetBytes + done);
      // A device that takes nothing and names no error would be asked for ever.
      if (count === 0) throw systemError('EIO', 'write');
      done += count;
    }
  }

  /** fdatasync(2): returns only when what was written is on stable storage. */
  sync(): void {
    fs.fdatasyncSync(this.fd);
  }

  /** fallocate(2) with the caller's mode, relative to the device's start. */
  fallocate(mode: number, offsetBytes: number, lengthBytes: number): void {
    requireRange(offsetBytes, lengthBytes);
    fallocateSync(this.fd, mode, offsetBytes, lengthBytes);
  }

  /** Gives the range's space back: a hole in a file, a discard of a block device. EOPNOTSUPP where it has none. */
  discard(offsetBytes: number, lengthBytes: number): void {
    requireRange(offsetBytes, lengthBytes);
    if (this.isBlockDevice) {
      ioctlSync(
        this.fd,
        BLKDISCARD,
        Buffer.from(BigUint64Array.of(BigInt(offsetBytes), BigInt(lengthBytes)).buffer),
      );
    } else {
      this.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes);
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    fs.closeSync(this.#fd);
  }
}

/** Bytes that are in memory only, such as a header that came through a pipe. `close` wipes them. */
export class MemoryDevice implements ReadableDevice {
  readonly path: string;
  readonly #bytes: Uint8Array;
  #isOpen = true;

  /** Takes `bytes` over. */
  constructor(bytes: Uint8Array, path: string) {
    this.#bytes = bytes;
    this.path = path;
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  readAt(buffer: Uint8Array, offsetBytes: number): number {
    if (!this.#isOpen) throw systemError('EBADF', 'device');
    requireRange(offsetBytes, buffer.length);
    const found = this.#bytes.subarray(offsetBytes, offsetBytes + buffer.length);
    buffer.set(found);
    return found.length;
  }

  readFullyAt(buffer: Uint8Array, offsetBytes: number): void {
    if (this.readAt(buffer, offsetBytes) < buffer.length) throw systemError('EIO', 'read');
  }

  close(): void {
    this.#isOpen = false;
    wipe(this.#bytes);
  }
}
