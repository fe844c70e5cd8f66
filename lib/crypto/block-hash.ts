/**
 * The hashes of many blocks of one size: the checksums of a reencryption. In the kernel's memory by OpenSSL without
 * a copy, by node:crypto elsewhere and where native code cannot be called; the same bytes both ways.
 */
import { createHash } from 'node:crypto';
import { EvpDigest } from '../native/digest.js';
import { hashSizeBytes, requireHash } from './hash.js';
import { allocateIoBuffer, releaseIoBuffer, requireKernel } from './kernel.js';

/** So many hashes at a time are made before they are copied to where they are wanted. */
const BATCH_BLOCKS = 64;

/** For one thread alone. */
export class BlockHash {
  readonly sizeBytes: number;
  readonly #name: string;
  readonly #evp: EvpDigest | null;
  readonly #kernel = requireKernel();
  readonly #batch: Buffer;

  /** Throws UNSUPPORTED for a hash that is not known here. */
  constructor(luksName: string) {
    this.#name = requireHash(luksName);
    this.sizeBytes = hashSizeBytes(luksName);
    this.#evp = EvpDigest.find(this.#name);
    this.#batch = allocateIoBuffer(BATCH_BLOCKS * this.sizeBytes);
  }

  /** Puts the hashes of the blocks of `data`, which is whole blocks, one behind the other into `target`. */
  hashBlocks(data: Uint8Array, blockBytes: number, target: Uint8Array): void {
    const isNear = [data, this.#batch].every((bytes) => this.#kernel.findOffset(bytes) !== null);
    const batchBytes = BATCH_BLOCKS * blockBytes;
    let at = 0;
    for (let start = 0; start < data.length; start += batchBytes) {
      const blocks = data.subarray(start, start + batchBytes);
      const hashes = this.#batch.subarray(0, (blocks.length / blockBytes) * this.sizeBytes);
      if (this.#evp && isNear) this.#hashInKernel(this.#evp, blocks, blockBytes);
      else this.#hashByNode(blocks, blockBytes);
      target.set(hashes, at);
      at += hashes.length;
    }
  }

  destroy(): void {
    releaseIoBuffer(this.#batch);
  }

  #hashInKernel(evp: EvpDigest, blocks: Uint8Array, blockBytes: number): void {
    const base = this.#kernel.address!;
    const [source, end] = [base + blocks.byteOffset, base + blocks.byteOffset + blocks.length];
    let target = base + this.#batch.byteOffset;
    for (let address = source; address < end; address += blockBytes) {
      evp.digest(address, blockBytes, target);
      target += this.sizeBytes;
    }
  }

  #hashByNode(blocks: Uint8Array, blockBytes: number): void {
    let at = 0;
    for (let start = 0; start < blocks.length; start += blockBytes) {
      const block = blocks.subarray(start, start + blockBytes);
      this.#batch.set(createHash(this.#name).update(block).digest(), at);
      at += this.sizeBytes;
    }
  }
}
