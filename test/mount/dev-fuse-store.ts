/**
 * Stores without cipher for the tests and measurements of the dev-fuse driver, opened by real workers: a plain
 * file, or zeros. Faults are switched on in shared memory while the mount is up.
 */

import { Device, type DeviceHandle } from '../../lib/device.js';
import { systemError } from '../../lib/errors.js';
import type { BlockStore } from '../../lib/fuse/plain-file.js';
import { sleepSync } from '../../lib/sleep.js';

export const storeModule = import.meta.url;

/** Indices into `TestStoreHandle.faults`. */
export const FAIL_SYNC = 0;
export const FAIL_IO = 1;
export const KILL_WORKER = 2;
export const SYNC_COUNT = 3;
export const SLOW_READ_MS = 4;

export interface TestStoreHandle {
  /** null: reads zeros, writes vanish. */
  device: DeviceHandle | null;
  sizeBytes: number;
  isReadOnly: boolean;
  faults: SharedArrayBuffer;
  /** Holes may be punched. */
  allowsDiscards?: boolean;
  /** Every worker fails to open it. */
  isBroken?: boolean;
}

export class TestStore implements BlockStore {
  readonly handle: TestStoreHandle;
  readonly blockSizeBytes = 512;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly #device: Device | null;
  readonly faults: Int32Array;

  constructor(handle: TestStoreHandle) {
    this.handle = handle;
    this.sizeBytes = handle.sizeBytes;
    this.isReadOnly = handle.isReadOnly;
    this.faults = new Int32Array(handle.faults);
    this.#device = handle.device && Device.adopt(handle.device);
  }

  read(buffer: Uint8Array, offsetBytes: number): number {
    if (this.faults[KILL_WORKER]) process.exit(3);
    if (this.faults[FAIL_IO]) throw systemError('EIO', 'read');
    if (this.faults[SLOW_READ_MS]) {
      sleepSync(this.faults[SLOW_READ_MS]!);
    }
    const count = Math.max(0, Math.min(buffer.length, this.sizeBytes - offsetBytes));
    // Zeros are not written into the buffer: what the ceiling is measured on is the driver alone.
    return this.#device ? this.#device.readAt(buffer.subarray(0, count), offsetBytes) : count;
  }

  /** Also wrecks the buffer, as a store that encrypts in place does. */
  write(buffer: Uint8Array, offsetBytes: number): void {
    if (this.faults[FAIL_IO]) throw systemError('EIO', 'write');
    if (!this.#device) return;
    this.#device.writeAt(buffer, offsetBytes);
    buffer.fill(0xee);
  }

  sync(): void {
    Atomics.add(this.faults, SYNC_COUNT, 1);
    if (this.faults[FAIL_SYNC]) throw systemError('ENOSPC', 'fdatasync');
    this.#device?.sync();
  }

  allocate(offsetBytes: number, lengthBytes: number): void {
    this.#device?.fallocate(0, offsetBytes, lengthBytes);
  }

  zeroRange(offsetBytes: number, lengthBytes: number): void {
    this.write(Buffer.alloc(lengthBytes), offsetBytes);
  }

  discard(offsetBytes: number, lengthBytes: number): void {
    if (!this.handle.allowsDiscards) throw systemError('EOPNOTSUPP', 'fallocate');
    this.#device?.discard(offsetBytes, lengthBytes);
  }

  close(): void {}
}

export function openStore(handle: TestStoreHandle): TestStore {
  if (handle.isBroken) throw new Error('this store cannot be opened');
  return new TestStore(handle);
}

export function allocateIoBuffer(sizeBytes: number): Uint8Array {
  return new Uint8Array(sizeBytes);
}
