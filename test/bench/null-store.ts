/**
 * A store without a cipher: the file's own bytes, after a delay where one is asked for, as a disk or a network has.
 * Each worker of null-mount.ts loads this module.
 */
import { Device, type DeviceHandle } from '../../lib/device.js';
import type { BlockStore } from '../../lib/fuse/plain-file.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE } from '../../lib/native/file.js';

export interface NullStoreHandle {
  device: DeviceHandle;
  /** How long each read sleeps. */
  readDelayMs: number;
}

export class NullStore implements BlockStore {
  readonly blockSizeBytes = 512;
  readonly isReadOnly = false;
  readonly sizeBytes: number;
  readonly #device: Device;
  readonly #readDelayMs: number;
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  constructor({ device, readDelayMs }: NullStoreHandle) {
    this.#device = Device.adopt(device);
    this.#readDelayMs = readDelayMs;
    this.sizeBytes = device.sizeBytes;
  }

  read(buffer: Uint8Array, offsetBytes: number): number {
    if (this.#readDelayMs > 0) Atomics.wait(this.#never, 0, 0, this.#readDelayMs);
    return this.#device.readAt(buffer, offsetBytes);
  }

  write(buffer: Uint8Array, offsetBytes: number): void {
    this.#device.writeAt(buffer, offsetBytes);
  }

  sync(): void {
    this.#device.sync();
  }

  allocate(offsetBytes: number, lengthBytes: number): void {
    this.#device.fallocate(FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes);
  }

  zeroRange(offsetBytes: number, lengthBytes: number): void {
    this.#device.fallocate(FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE, offsetBytes, lengthBytes);
  }

  discard(offsetBytes: number, lengthBytes: number): void {
    this.#device.discard(offsetBytes, lengthBytes);
  }

  /** The descriptor is the mount's; no worker closes it. */
  close(): void {}
}

export function openStore(handle: unknown): NullStore {
  return new NullStore(handle as NullStoreHandle);
}

export { allocateIoBuffer } from '../../lib/crypto/kernel.js';
