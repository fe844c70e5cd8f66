/**
 * A short message of fixed length that is hashed again and again as it changes. In the kernel's memory by OpenSSL, with
 * nothing made in JavaScript; by node:crypto where native code cannot be called. For one thread alone.
 */
import { createHash } from 'node:crypto';
import { wipe } from '../bytes.js';
import { EvpDigest } from '../native/digest.js';
import { hashSizeBytes, requireHash } from './hash.js';
import { allocateIoBuffer, releaseIoBuffer, requireKernel } from './kernel.js';

export class HashedMessage {
  readonly bytes: Buffer;
  /** As of the last `hash`. */
  readonly digest: Buffer;
  readonly #name: string;
  /** Null where one of the two is not in the kernel's memory, or there is nothing native to call. */
  readonly #native: { evp: EvpDigest; source: number; target: number } | null;

  /** Throws UNSUPPORTED for a hash that is not known here. */
  constructor(luksName: string, lengthBytes: number) {
    this.#name = requireHash(luksName);
    this.bytes = allocateIoBuffer(lengthBytes);
    this.digest = allocateIoBuffer(hashSizeBytes(luksName));
    const kernel = requireKernel();
    const [source, target] = [kernel.findOffset(this.bytes), kernel.findOffset(this.digest)];
    const evp = EvpDigest.find(this.#name);
    this.#native =
      evp && kernel.address !== null && source !== null && target !== null
        ? { evp, source: kernel.address + source, target: kernel.address + target }
        : null;
  }

  hash(): void {
    if (this.#native) {
      this.#native.evp.digest(this.#native.source, this.bytes.length, this.#native.target);
    } else {
      this.digest.set(createHash(this.#name).update(this.bytes).digest());
    }
  }

  /** Wipes both. */
  destroy(): void {
    wipe(this.bytes, this.digest);
    releaseIoBuffer(this.bytes);
    releaseIoBuffer(this.digest);
  }
}
