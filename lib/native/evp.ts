/**
 * The ciphers of the OpenSSL that node itself links, called through EVP on memory given by address, so that
 * nothing is allocated or copied. Knows no chaining mode's meaning; see EVP_EncryptInit(3).
 */
import createDebug from 'debug';
import { LuksError } from '../errors.js';
import { findFunction, koffi, koffiLack } from './library.js';
import { copyHeapObject, lockHeapObject } from './memory.js';

const debug = createDebug('luksfuse:openssl');

// Addresses as uint64_t: koffi takes plain numbers for them, which is faster than bigint or void *.
const cFetch = findFunction<(library: number, name: string, properties: null) => number>(
  'uint64_t EVP_CIPHER_fetch(uint64_t library, const char *name, const char *properties)',
);
const cNewContext = findFunction<() => number>('uint64_t EVP_CIPHER_CTX_new()');
const cFreeContext = findFunction<(context: number) => void>('void EVP_CIPHER_CTX_free(uint64_t context)');
const cFreeCipher = findFunction<(cipher: number) => void>('void EVP_CIPHER_free(uint64_t cipher)');
const cInit = findFunction<
  (
    context: number,
    cipher: number,
    engine: number,
    key: Uint8Array | null,
    iv: null,
    encrypt: number,
  ) => number
>(
  'int EVP_CipherInit_ex(uint64_t context, uint64_t cipher, uint64_t engine, void *key, void *iv, int encrypt)',
);
const cSetIv = findFunction<
  (context: number, cipher: number, engine: number, key: number, iv: number, encrypt: number) => number
>(
  'int EVP_CipherInit_ex(uint64_t context, uint64_t cipher, uint64_t engine, uint64_t key, uint64_t iv, int encrypt)',
);
const cSetPadding = findFunction<(context: number, padding: number) => number>(
  'int EVP_CIPHER_CTX_set_padding(uint64_t context, int padding)',
);
const cUpdate = findFunction<
  (context: number, target: number, count: number, source: number, length: number) => number
>('int EVP_CipherUpdate(uint64_t context, uint64_t target, uint64_t count, uint64_t source, int length)');
const cSetKeyLength = findFunction<(context: number, length: number) => number>(
  'int EVP_CIPHER_CTX_set_key_length(uint64_t context, int length)',
);
const cTryLoadProvider = findFunction<(library: number, name: string, keepFallbacks: number) => number>(
  'uint64_t OSSL_PROVIDER_try_load(uint64_t library, const char *name, int keep_fallbacks)',
);
const cClearErrors = findFunction<() => void>('void ERR_clear_error()');

/** The cell that EVP_CipherUpdate reports its output length in; never read, since there is no padding. */
const countCell = koffi ? Number(koffi.address(koffi.alloc('int', 1))) : 0;

const isAvailable =
  cFetch &&
  cNewContext &&
  cFreeContext &&
  cFreeCipher &&
  cInit &&
  cSetIv &&
  cSetKeyLength &&
  cSetPadding &&
  cUpdate &&
  cClearErrors;

/** What a message adds where OpenSSL lacks a cipher or a hash. */
export const LEGACY_CURE = koffiLack
  ? '; without the package koffi the old ones need NODE_OPTIONS=--openssl-legacy-provider'
  : '';

let isLegacyLoaded: boolean | null = null;

/**
 * Loads OpenSSL's legacy provider beside the default one, for node:crypto as well: it has Blowfish, CAST5 and
 * Whirlpool. False where there is none, or native code cannot be called.
 */
export function loadLegacyProvider(): boolean {
  if (isLegacyLoaded === null) {
    isLegacyLoaded = Boolean(cTryLoadProvider?.(0, 'legacy', 1));
    cClearErrors?.();
  }
  return isLegacyLoaded;
}

function fetchCipher(name: string): number {
  return cFetch!(0, name, null) || (loadLegacyProvider() ? cFetch!(0, name, null) : 0);
}

/** One key of one cipher in one direction. */
export class EvpCipher {
  #context: number;

  private constructor(context: number) {
    this.#context = context;
  }

  /**
   * Opens OpenSSL's cipher `name` (`AES-256-ECB`) without padding and with a zero IV; `key` is read once, from
   * where it lies. Null where native code cannot be called, OpenSSL lacks the cipher or refuses the key.
   */
  static find(name: string, key: Uint8Array, encrypt: boolean): EvpCipher | null {
    if (!isAvailable) return null;
    const cipher = fetchCipher(name);
    if (!cipher) return EvpCipher.#refused();
    const context = cNewContext();
    const empty = copyHeapObject(context);
    const isChosen = cInit(context, cipher, 0, null, null, encrypt ? 1 : 0) === 1;
    // From here on there is room for the key schedule, on the heap, where OpenSSL has put it.
    if (!lockHeapObject(context, empty)) debug('the key schedule of %s stays in swappable memory', name);
    const isReady =
      isChosen &&
      cSetKeyLength(context, key.length) === 1 &&
      cInit(context, 0, 0, key, null, -1) === 1 &&
      cSetPadding(context, 0) === 1;
    cFreeCipher(cipher);
    if (isReady) return new EvpCipher(context);
    cFreeContext(context);
    return EvpCipher.#refused();
  }

  /** Takes OpenSSL's reasons off this thread's queue, where node would mistake them for its own. */
  static #refused(): null {
    cClearErrors?.();
    return null;
  }

  /** Starts a new message with the IV at `ivAddress`. */
  setIv(ivAddress: number): void {
    if (cSetIv!(this.#context, 0, 0, 0, ivAddress, -1) !== 1) this.#fail('take an IV');
  }

  /** Whole blocks from one address to another; they may be the same, and must not overlap otherwise. */
  update(sourceAddress: number, targetAddress: number, lengthBytes: number): void {
    if (cUpdate!(this.#context, targetAddress, countCell, sourceAddress, lengthBytes) !== 1) {
      this.#fail(`turn ${lengthBytes} bytes`);
    }
  }

  /** Wipes and frees the key schedule (EVP_CIPHER_CTX_free cleanses it). */
  destroy(): void {
    if (this.#context) cFreeContext!(this.#context);
    this.#context = 0;
  }

  #fail(what: string): never {
    throw new LuksError(
      'UNSUPPORTED',
      `OpenSSL refused to ${what}${this.#context ? '' : ': the cipher is closed'}`,
    );
  }
}
