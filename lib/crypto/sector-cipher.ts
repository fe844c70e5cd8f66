/**
 * What every payload and keyslot cipher is: bytes of whole sectors, turned in place. Puts a mode, an IV
 * generator and an engine together; knows no header and no device.
 */
import { isPowerOfTwo } from '../bytes.js';
import { LuksError } from '../errors.js';
import { LEGACY_CURE } from '../native/evp.js';
import {
  type CipherParts,
  type CipherSpec,
  checkKeySize,
  formatCipherSpec,
  parseCipherSpec,
  requireCipherParts,
} from './cipher-spec.js';
import { NULL_CIPHER } from './ciphers.js';
import { checkEngine, withCheckedBlocks } from './engine-check.js';
import type { Engine, EngineName } from './engines/engine.js';
import { gcryptEngine } from './engines/gcrypt.js';
import { nodeEngine } from './engines/node.js';
import { opensslEngine } from './engines/openssl.js';
import { wasmEngine } from './engines/wasm.js';
import { IV_SECTOR_BYTES, type IvGenerator } from './ivs/iv.js';
import { CHUNK_BYTES, type Kernel, requireKernel } from './kernel.js';
import type { SectorMode } from './modes/mode.js';
import { noIv, noMode } from './modes/none.js';
import { xtsgb } from './modes/xts.js';

export type { EngineName } from './engines/engine.js';
export { IV_SECTOR_BYTES } from './ivs/iv.js';

const LARGEST_SECTOR_BYTES = 4096;

/** In the order of preference. */
const ENGINES: readonly Engine[] = [gcryptEngine, opensslEngine, nodeEngine, wasmEngine];

export interface SectorCipher {
  readonly spec: CipherSpec;
  readonly engine: EngineName;
  readonly sectorSizeBytes: number;

  /**
   * Encrypts `data`, whole sectors, where it lies: without a copy in a buffer of `allocateIoBuffer` (kernel.ts),
   * through a copy elsewhere. BAD_ARGUMENT where it is not whole sectors.
   * @param ivSector the IV number of the first sector, in 512-byte units, iv_tweak included; taken mod 2^64.
   *   The next sector's is `ivSector + sectorSizeBytes / 512`.
   */
  encryptInPlace(data: Uint8Array, ivSector: bigint): void;
  /** The inverse of `encryptInPlace`. */
  decryptInPlace(data: Uint8Array, ivSector: bigint): void;
  /** Forgets the key schedules. The cipher must not be used after it. */
  destroy(): void;
}

class ModeCipher implements SectorCipher {
  readonly spec: CipherSpec;
  readonly engine: EngineName;
  readonly sectorSizeBytes: number;
  readonly #kernel: Kernel;
  readonly #mode: SectorMode;
  readonly #iv: IvGenerator;
  readonly #ivStep: bigint;
  #isDestroyed = false;

  constructor(spec: CipherSpec, engine: EngineName, sectorSizeBytes: number, opened: OpenedParts) {
    this.spec = spec;
    this.engine = engine;
    this.sectorSizeBytes = sectorSizeBytes;
    this.#kernel = opened.kernel;
    this.#mode = opened.mode;
    this.#iv = opened.iv;
    this.#ivStep = BigInt(sectorSizeBytes / IV_SECTOR_BYTES);
  }

  encryptInPlace(data: Uint8Array, ivSector: bigint): void {
    this.#turn('encrypt', data, ivSector);
  }

  decryptInPlace(data: Uint8Array, ivSector: bigint): void {
    this.#turn('decrypt', data, ivSector);
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#mode.destroy();
    this.#iv.destroy();
  }

  #turn(direction: 'encrypt' | 'decrypt', data: Uint8Array, ivSector: bigint): void {
    if (data.length % this.sectorSizeBytes !== 0 || this.#isDestroyed) this.#refuse(data);
    const offset = this.#kernel.findOffset(data);
    for (let done = 0; done < data.length; done += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, data.length - done);
      const sectorCount = length / this.sectorSizeBytes;
      // Most calls are one chunk, and an addition of bigints makes a new one.
      const iv = done === 0 ? ivSector : ivSector + BigInt(done / IV_SECTOR_BYTES);
      this.#iv.fill(this.#kernel.ivsOffset, sectorCount, iv, this.#ivStep);
      if (offset !== null) this.#turnSectors(direction, offset + done, sectorCount);
      else this.#turnCopy(direction, data.subarray(done, done + length), sectorCount);
    }
  }

  /** Two names and no `[direction]`, which V8 looks up anew in every call. */
  #turnSectors(direction: 'encrypt' | 'decrypt', offset: number, sectorCount: number): void {
    if (direction === 'encrypt') this.#mode.encrypt(offset, sectorCount);
    else this.#mode.decrypt(offset, sectorCount);
  }

  /** What passes through the kernel's memory this way may be a keyslot's area, so nothing of it stays there. */
  #turnCopy(direction: 'encrypt' | 'decrypt', piece: Uint8Array, sectorCount: number): void {
    const { bytes, chunkOffset } = this.#kernel;
    bytes.set(piece, chunkOffset);
    try {
      this.#turnSectors(direction, chunkOffset, sectorCount);
      piece.set(bytes.subarray(chunkOffset, chunkOffset + piece.length));
    } finally {
      this.#kernel.wipePiece(piece.length);
    }
  }

  #refuse(data: Uint8Array): never {
    throw new LuksError(
      'BAD_ARGUMENT',
      this.#isDestroyed
        ? 'the cipher has been closed'
        : `${data.length} bytes are not whole sectors of ${this.sectorSizeBytes}`,
    );
  }
}

interface OpenedParts {
  kernel: Kernel;
  mode: SectorMode;
  iv: IvGenerator;
}

/** The spec's parts over one engine, or null where it lacks one or gets one wrong, with nothing left open. */
function findParts(
  engine: Engine,
  parts: CipherParts,
  spec: CipherSpec,
  key: Uint8Array,
  sectorSizeBytes: number,
): OpenedParts | null {
  const { cipher, mode: row } = parts;
  if (checkEngine(engine, { cipher, mode: row, keyBytes: key.length, sectorSizeBytes }) !== 'right')
    return null;
  const kernel = requireKernel();
  const ivEngine = withCheckedBlocks(engine);
  const ivBytes = row.ivBytes(cipher);
  const iv = parts.iv.open({
    ...{ kernel, engine: ivEngine, cipher, key, hash: spec.ivHash, ivBytes, sectorSizeBytes },
  });
  if (!iv) return null;
  try {
    const mode = row.open({ kernel, engine, cipher, key, sectorSizeBytes });
    if (mode) return { kernel, mode, iv };
  } catch (error) {
    iv.destroy();
    throw error;
  }
  iv.destroy();
  return null;
}

function checkSizes(spec: CipherSpec, key: Uint8Array, sectorSizeBytes: number): void {
  const isSize = isPowerOfTwo(sectorSizeBytes) && sectorSizeBytes <= LARGEST_SECTOR_BYTES;
  if (!isSize || sectorSizeBytes < IV_SECTOR_BYTES) {
    throw new LuksError('UNSUPPORTED', `sectors of ${sectorSizeBytes} bytes; 512, 1024, 2048 and 4096 are`);
  }
  checkKeySize(spec, key.length);
}

export interface SectorCipherOptions {
  /** Insists on one engine; without it the fastest that has the cipher is taken. */
  engine?: EngineName;
  /** Whether `cipher_null` is a cipher. */
  allowNullCipher?: boolean;
  /** Whether `xtsgb` is a mode: for data that is there, not for new headers. */
  allowXtsGb?: boolean;
}

/**
 * A cipher over sectors of `sectorSizeBytes` (512, 1024, 2048, 4096), for this thread alone. `key` is read from
 * where it lies and not kept; it may be wiped as soon as this returns.
 * Throws UNSUPPORTED for a spec, key size, sector size or engine that cannot be.
 */
export function createSectorCipher(
  spec: CipherSpec | string,
  key: Uint8Array,
  sectorSizeBytes: number,
  options: SectorCipherOptions = {},
): SectorCipher {
  const parsed = typeof spec === 'string' ? parseCipherSpec(spec) : spec;
  const parts = requireCipherParts(parsed);
  checkSizes(parsed, key, sectorSizeBytes);
  if (parts.mode === xtsgb && !options.allowXtsGb) {
    throw new LuksError(
      'UNSUPPORTED',
      `cipher "${formatCipherSpec(parsed)}" is known to luksfuse alone and only reads old data; use sm4-xts`,
    );
  }
  if (parts.cipher.name === NULL_CIPHER) {
    if (options.allowNullCipher) {
      const opened = { kernel: requireKernel(), mode: noMode, iv: noIv };
      return new ModeCipher(parsed, 'none', sectorSizeBytes, opened);
    }
    throw new LuksError(
      'UNSUPPORTED',
      `cipher "${formatCipherSpec(parsed)}" is none: the data is not encrypted, and a header changed to say so ` +
        'is a known attack; use --allow-null-cipher if it is meant',
    );
  }
  for (const engine of ENGINES) {
    if (options.engine && options.engine !== engine.name) continue;
    const opened = findParts(engine, parts, parsed, key, sectorSizeBytes);
    if (opened) return new ModeCipher(parsed, engine.name, sectorSizeBytes, opened);
  }
  const where = options.engine ? `engine ${options.engine}` : "this machine's OpenSSL";
  throw new LuksError('UNSUPPORTED', `${where} has no working ${formatCipherSpec(parsed)}${LEGACY_CURE}`);
}

/**
 * The engines that have this cipher here, the one that would be taken first. Throws UNSUPPORTED for a spec or key
 * size that is nowhere.
 */
export function findEngines(spec: string, keyBits: number): EngineName[] {
  const parsed = parseCipherSpec(spec);
  const parts = requireCipherParts(parsed);
  const key = Buffer.alloc(keyBits / 8);
  checkSizes(parsed, key, IV_SECTOR_BYTES);
  return ENGINES.filter((engine) => {
    const opened = findParts(engine, parts, parsed, key, IV_SECTOR_BYTES);
    opened?.mode.destroy();
    opened?.iv.destroy();
    return opened !== null;
  }).map((engine) => engine.name);
}
