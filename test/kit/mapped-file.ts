/**
 * A file mapped shared into memory for as long as a test likes.
 */
import fs from 'node:fs';
import { koffi } from '../../lib/native/library.js';
import { MAP_SHARED, MS_SYNC, mmap, msync, munmap, PROT_READ_WRITE } from './libc.js';

export class MappedFile {
  /** The file's bytes. Must not be touched after `close`. */
  readonly bytes: Buffer;
  readonly #address: bigint;

  constructor(file: string) {
    const fd = fs.openSync(file, 'r+');
    try {
      const { size } = fs.fstatSync(fd);
      this.#address = mmap(null, size, PROT_READ_WRITE, MAP_SHARED, fd, 0);
      this.bytes = Buffer.from(koffi!.view(this.#address, size));
    } finally {
      fs.closeSync(fd);
    }
  }

  /** msync(MS_SYNC) of all of it. */
  sync(): void {
    msync(this.#address, this.bytes.length, MS_SYNC);
  }

  close(): void {
    munmap(this.#address, this.bytes.length);
  }
}
