/**
 * OpenSSL's hash functions on memory given by address: one call a message, nothing allocated in JavaScript
 * (EVP_DigestInit(3)). Node's own take three calls and an object for each.
 */
import { LuksError } from '../errors.js';
import { findFunction } from './library.js';

const cFetch = findFunction<(library: number, name: string, properties: null) => number>(
  'uint64_t EVP_MD_fetch(uint64_t library, const char *name, const char *properties)',
);
const cDigest = findFunction<
  (
    data: number,
    sizeBytes: number,
    target: number,
    targetSize: number,
    hash: number,
    engine: number,
  ) => number
>('int EVP_Digest(uint64_t data, size_t count, uint64_t md, uint64_t size, uint64_t type, uint64_t engine)');
const cClearErrors = findFunction<() => void>('void ERR_clear_error()');

/** One hash function. There are few and they are kept for the life of the process. */
export class EvpDigest {
  static readonly #known = new Map<string, EvpDigest | null>();
  readonly #hash: number;

  private constructor(hash: number) {
    this.#hash = hash;
  }

  /** OpenSSL's hash of this name, or null where it has none or native code cannot be called. */
  static find(name: string): EvpDigest | null {
    if (!cFetch || !cDigest || !cClearErrors) return null;
    const known = EvpDigest.#known.get(name);
    if (known !== undefined) return known;
    const hash = cFetch(0, name, null);
    // Its reasons would stay on this thread's queue, where node would mistake them for its own.
    if (!hash) cClearErrors();
    const found = hash ? new EvpDigest(hash) : null;
    EvpDigest.#known.set(name, found);
    return found;
  }

  /** Puts the hash of the bytes at one address to another. */
  digest(sourceAddress: number, sizeBytes: number, targetAddress: number): void {
    if (cDigest!(sourceAddress, sizeBytes, targetAddress, 0, this.#hash, 0) === 1) return;
    throw new LuksError('UNSUPPORTED', `OpenSSL refused to hash ${sizeBytes} bytes`);
  }
}
