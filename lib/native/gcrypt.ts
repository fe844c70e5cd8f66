/**
 * The block ciphers of the system's libgcrypt, on memory given by address, so that nothing is allocated or copied. The
 * library is loaded when it is first asked for. Knows no chaining mode's meaning; see its manual, "Symmetric cryptography".
 */
import createDebug from 'debug';
import { LuksError } from '../errors.js';
import { koffi, loadLibrary } from './library.js';
import { lockHeapBlock } from './memory.js';

const debug = createDebug('luksfuse:gcrypt');

const LIBRARY = 'libgcrypt.so.20';
/** The first with the functions of hwflist's `intel-vaes-vpclmul`. */
const MIN_VERSION = '1.10.0';

// gcrypt.h: enum gcry_ctl_cmds, enum gcry_cipher_modes.
const GCRYCTL_DISABLE_SECMEM = 37;
const GCRYCTL_INITIALIZATION_FINISHED = 38;
const GCRYCTL_INITIALIZATION_FINISHED_P = 39;
const GCRY_CIPHER_MODES = { CFB: 2, CBC: 3, XTS: 13 } as const;

type Crypt = (handle: number, out: number, outBytes: number, input: number, inputBytes: number) => number;

function loadFunctions() {
  const find = loadLibrary(LIBRARY);
  if (!find) return null;
  const found = {
    checkVersion: find<(least: string) => string | null>('const char *gcry_check_version(const char *least)'),
    control: find<(command: number, type: 'int', argument: number) => number>(
      'uint32_t gcry_control(int command, ...)',
    ),
    getConfig: find<(mode: number, what: string) => number>(
      'uint64_t gcry_get_config(int mode, const char *what)',
    ),
    free: find<(object: number) => void>('void gcry_free(uint64_t object)'),
    mapName: find<(name: string) => number>('int gcry_cipher_map_name(const char *name)'),
    open: find<(handle: BigUint64Array, algorithm: number, mode: number, flags: number) => number>(
      'uint32_t gcry_cipher_open(void *handle, int algorithm, int mode, uint32_t flags)',
    ),
    close: find<(handle: number) => void>('void gcry_cipher_close(uint64_t handle)'),
    setKey: find<(handle: number, key: Uint8Array, keyBytes: number) => number>(
      'uint32_t gcry_cipher_setkey(uint64_t handle, void *key, size_t keyBytes)',
    ),
    setIv: find<(handle: number, iv: number, ivBytes: number) => number>(
      'uint32_t gcry_cipher_setiv(uint64_t handle, uint64_t iv, size_t ivBytes)',
    ),
    encrypt: find<Crypt>(
      'uint32_t gcry_cipher_encrypt(uint64_t handle, uint64_t out, size_t outBytes, uint64_t input, size_t inputBytes)',
    ),
    decrypt: find<Crypt>(
      'uint32_t gcry_cipher_decrypt(uint64_t handle, uint64_t out, size_t outBytes, uint64_t input, size_t inputBytes)',
    ),
  };
  const isWhole = Object.values(found).every((one) => one !== null);
  return isWhole ? (found as { [Name in keyof typeof found]: NonNullable<(typeof found)[Name]> }) : null;
}

type Functions = NonNullable<ReturnType<typeof loadFunctions>>;

/**
 * Readies the library, unless somebody has in this process. Its pool of secure memory is switched off: making it would
 * print warnings and drop the privileges of a setuid program, and `lockHeapBlock` does for the schedules what it would.
 */
function initialize({ checkVersion, control }: Functions): boolean {
  if (checkVersion(MIN_VERSION) === null) return false;
  if (control(GCRYCTL_INITIALIZATION_FINISHED_P, 'int', 0) !== 0) return true;
  control(GCRYCTL_DISABLE_SECMEM, 'int', 0);
  return control(GCRYCTL_INITIALIZATION_FINISHED, 'int', 0) === 0;
}

/** The processor's features that the library uses, by its own names: `hwflist:intel-avx2:intel-vaes-vpclmul:\n`. */
function readHardware({ getConfig, free }: Functions): ReadonlySet<string> {
  const address = getConfig(0, 'hwflist');
  if (!address) return new Set();
  const line: string = koffi!.decode(BigInt(address), 'char', -1);
  free(address);
  return new Set(line.trim().split(':').slice(1));
}

/** Undefined until it is first asked for. */
let library: { functions: Functions; hardware: ReadonlySet<string> } | null | undefined;

function requireLibrary() {
  if (library !== undefined) return library;
  const functions = loadFunctions();
  library = functions && initialize(functions) ? { functions, hardware: readHardware(functions) } : null;
  debug(
    library ? `uses ${[...library.hardware].join(' ')}` : `there is no ${LIBRARY} of ${MIN_VERSION} or later`,
  );
  return library;
}

/** One key of one cipher in one mode, for both directions and for one thread; its IV is zero at first. */
export class GcryptCipher {
  readonly #functions: Functions;
  #handle: number;

  private constructor(functions: Functions, handle: number) {
    this.#functions = functions;
    this.#handle = handle;
  }

  /**
   * Opens libgcrypt's cipher `name` (`AES-256`); `key` is read once, from where it lies. Null where the library is not
   * there, makes no use of the processor's `feature`, lacks the cipher or refuses the key.
   */
  static find(
    name: string,
    mode: keyof typeof GCRY_CIPHER_MODES,
    feature: string,
    key: Uint8Array,
  ): GcryptCipher | null {
    const found = requireLibrary();
    if (!found?.hardware.has(feature)) return null;
    const { functions } = found;
    const cell = new BigUint64Array(1);
    if (functions.open(cell, functions.mapName(name), GCRY_CIPHER_MODES[mode], 0) !== 0) return null;
    const handle = Number(cell[0]);
    // The handle and its schedules are one block of the heap.
    if (!lockHeapBlock(handle)) debug('the key schedule of %s stays in swappable memory', name);
    if (functions.setKey(handle, key, key.length) === 0) return new GcryptCipher(functions, handle);
    functions.close(handle);
    return null;
  }

  /** Starts a new message with the IV of `ivBytes` at `ivAddress`. */
  setIv(ivAddress: number, ivBytes: number): void {
    if (this.#functions.setIv(this.#handle, ivAddress, ivBytes) !== 0) this.#fail('take an IV');
  }

  /** Whole blocks from one address to another; they may be the same, and must not overlap otherwise. */
  encrypt(sourceAddress: number, targetAddress: number, lengthBytes: number): void {
    const { encrypt } = this.#functions;
    if (encrypt(this.#handle, targetAddress, lengthBytes, sourceAddress, lengthBytes) !== 0) {
      this.#fail(`encrypt ${lengthBytes} bytes`);
    }
  }

  /** The inverse of `encrypt`. */
  decrypt(sourceAddress: number, targetAddress: number, lengthBytes: number): void {
    const { decrypt } = this.#functions;
    if (decrypt(this.#handle, targetAddress, lengthBytes, sourceAddress, lengthBytes) !== 0) {
      this.#fail(`decrypt ${lengthBytes} bytes`);
    }
  }

  /** Wipes and frees the key schedules (gcry_cipher_close does both). It must not be used after that. */
  destroy(): void {
    if (this.#handle) this.#functions.close(this.#handle);
    this.#handle = 0;
  }

  #fail(what: string): never {
    throw new LuksError('UNSUPPORTED', `libgcrypt refused to ${what}`);
  }
}
