/**
 * A key in locked, undumpable memory that the threads of the process share by address.
 * Knows nothing of what the key is for.
 */
import createDebug from 'debug';
import { wipe } from '../bytes.js';
import { allocateLocked, freeLocked, type LockedPages, viewLocked } from '../native/memory.js';

const debug = createDebug('luksfuse:secret');

/** What one thread hands to another so that it sees the same bytes, without a copy of them. */
export type SecretHandle = { address: bigint; sizeBytes: number } | { shared: SharedArrayBuffer };

/** Keys of a volume, by the digest that recognizes each: two of them while it is reencrypted. */
export type VolumeKeys = ReadonlyMap<number, Secret>;

export function destroyKeys(keys: VolumeKeys): void {
  for (const key of keys.values()) key.destroy();
}

/** The key of this digest, if it is there; the others are destroyed. */
export function keepKey(keys: VolumeKeys, digest: number | null): VolumeKeys {
  const [kept, others] = [new Map<number, Secret>(), new Map<number, Secret>()];
  for (const [id, key] of keys) (id === digest ? kept : others).set(id, key);
  destroyKeys(others);
  return kept;
}

/**
 * Key bytes with an owner. The owner calls `destroy`, which wipes and unmaps; a borrower in another thread
 * (`Secret.borrow`) only ever reads, and must be gone before that.
 * Where memory cannot be locked the bytes lie in ordinary shared memory that is wiped all the same.
 */
export class Secret {
  readonly bytes: Buffer;
  readonly #pages: LockedPages | null;
  #isDestroyed = false;

  private constructor(bytes: Buffer, pages: LockedPages | null) {
    this.bytes = bytes;
    this.#pages = pages;
  }

  /** An all-zero secret of `sizeBytes`, to be filled in place. */
  static allocate(sizeBytes: number): Secret {
    const pages = allocateLocked(sizeBytes);
    if (pages) return new Secret(viewLocked(pages.address, sizeBytes), pages);
    debug('memory cannot be locked (RLIMIT_MEMLOCK?): a key of %d bytes stays swappable', sizeBytes);
    return new Secret(Buffer.from(new SharedArrayBuffer(sizeBytes)), null);
  }

  /** Moves `source` into a new secret and wipes it. */
  static takeFrom(source: Uint8Array): Secret {
    const secret = Secret.allocate(source.length);
    secret.bytes.set(source);
    wipe(source);
    return secret;
  }

  /** The bytes behind a handle from another thread of this process. */
  static borrow(handle: SecretHandle): Uint8Array {
    return 'shared' in handle ? new Uint8Array(handle.shared) : viewLocked(handle.address, handle.sizeBytes);
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  /** True where the key is kept from swap and core dumps. */
  get isLocked(): boolean {
    return this.#pages !== null;
  }

  get handle(): SecretHandle {
    if (this.#pages) return { address: this.#pages.address, sizeBytes: this.bytes.length };
    return { shared: this.bytes.buffer as unknown as SharedArrayBuffer };
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    wipe(this.bytes);
    if (this.#pages) freeLocked(this.#pages);
  }
}
