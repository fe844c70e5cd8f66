/**
 * A store without a cipher: the file's own bytes. Each worker of null-mount.ts loads this module.
 */
import { Device, type DeviceHandle } from '../../lib/device.js';
import type { BlockStore } from '../../lib/fuse/plain-file.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE } from '../../lib/native/file.js';

export class NullStore implements BlockStore {
  readonly blockSizeBytes = 512;
  readonly isReadOnly = false;
  readonly sizeBytes: number;
  readonly #device: Device;

  constructor(device: Device) {
    this.#device = device;
    this.sizeBytes = device.sizeBytes;
  }

  read(buffer: Uint8Array, offsetBytes: number): number {
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
  return new NullStore(Device.adopt(handle as DeviceHandle));
}

export function allocateIoBuffer(sizeBytes: number): Uint8Array {
  return Buffer.alloc(sizeBytes);
}
