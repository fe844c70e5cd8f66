/**
 * Whether an engine gives the right bytes here, asked before it serves a cipher. A library may change its mind about a
 * mode (OpenSSL 3.2 made a SM4-XTS that is not IEEE's), and a processor's own instructions may be wrong: known sectors
 * are encrypted and decrypted by it, and compared with what another implementation made of them (known-sectors.ts).
 */
import { createHash } from 'node:crypto';
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';
import createDebug from 'debug';
import type { CipherRow } from './ciphers.js';
import type { Engine } from './engines/engine.js';
import { CHUNK_BYTES, type Kernel, requireKernel } from './kernel.js';
import { KNOWN_SECTORS } from './known-sectors.js';
import { ecb } from './modes/ecb.js';
import type { ModeRow, SectorMode } from './modes/mode.js';

const debug = createDebug('luksfuse:crypto');

const SECTOR_SIZES_BYTES = [512, 1024, 2048, 4096];
const MAX_IV_BYTES = 32;
const MAX_SECTORS = CHUNK_BYTES / SECTOR_SIZES_BYTES[0]!;
const MAX_KEY_BYTES = 64;
/** A prime: no two blocks near each other are equal. */
const PATTERN_BYTES = 1021;
/** On both sides of the lengths at which engines, modes and libraries change their way; 64 in all. */
const PIECES = [1, 2, 4, 7, 17, 33];
/** Eight digits make an accident unlikely enough. */
const DIGEST_DIGITS = 8;

/** The cipher as it is to be used: a whole key, as the mode takes it. */
export interface CheckedUse {
  cipher: CipherRow;
  mode: ModeRow;
  keyBytes: number;
  sectorSizeBytes: number;
}

/** What the known sectors are: one chunk of them, their IVs and their keys. */
export interface KnownSectors {
  plaintext: Buffer;
  /** The IV of sector `n` is the bytes from `n × ivBytes`. */
  ivs: Buffer;
  /** The second has two equal halves, which XTS may treat in a way of its own. */
  keys: readonly Buffer[];
}

/** The same on every machine: bytes of a linear congruential generator, so many of them again and again. */
export function knownSectors(keyBytes: number): KnownSectors {
  const pattern = Buffer.alloc(PATTERN_BYTES);
  for (let index = 0, state = 1; index < PATTERN_BYTES; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    pattern[index] = state >>> 24;
  }
  const bytes = Buffer.alloc(CHUNK_BYTES + MAX_SECTORS * MAX_IV_BYTES + MAX_KEY_BYTES, pattern);
  const key = bytes.subarray(bytes.length - keyBytes);
  const half = key.subarray(0, Math.floor(keyBytes / 2));
  return {
    plaintext: bytes.subarray(0, CHUNK_BYTES),
    ivs: bytes.subarray(CHUNK_BYTES),
    keys: [key, Buffer.concat([half, half, key], keyBytes)],
  };
}

/** As the table has it. */
export function digestSectors(ciphertexts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const ciphertext of ciphertexts) hash.update(ciphertext);
  return hash.digest('hex').slice(0, DIGEST_DIGITS);
}

/** What `digestSectors` must give. ECB is the same whatever the sector size. */
export function findKnownDigest({ cipher, mode, keyBytes, sectorSizeBytes }: CheckedUse): string | null {
  const digests = KNOWN_SECTORS[`${cipher.name}-${mode.name}`]?.split(' ') ?? [];
  const row = mode.keySizesBytes(cipher).indexOf(keyBytes);
  const column = SECTOR_SIZES_BYTES.indexOf(sectorSizeBytes);
  return digests[mode === ecb ? row : row * SECTOR_SIZES_BYTES.length + column] ?? null;
}

function splitInPieces(count: number): number[] {
  let left = count;
  return [...PIECES, count].map((wanted) => {
    const piece = Math.min(wanted, left);
    left -= piece;
    return piece;
  });
}

/** Encrypts the known sectors, copies that, and decrypts them again. Null if they do not come back. */
function turnKnown(
  kernel: Kernel,
  opened: SectorMode,
  { plaintext, ivs }: KnownSectors,
  unitBytes: number,
  ivBytes: number,
): Buffer | null {
  const { bytes, chunkOffset, ivsOffset } = kernel;
  const data = bytes.subarray(chunkOffset, chunkOffset + CHUNK_BYTES);
  const turn = (direction: 'encrypt' | 'decrypt', pieces: readonly number[]) => {
    let at = 0;
    for (const count of pieces) {
      if (count === 0) continue;
      bytes.set(ivs.subarray(at * ivBytes, (at + count) * ivBytes), ivsOffset);
      opened[direction](chunkOffset + at * unitBytes, count);
      at += count;
    }
  };
  const pieces = splitInPieces(CHUNK_BYTES / unitBytes);
  data.set(plaintext);
  turn('encrypt', pieces);
  const ciphertext = Buffer.from(data);
  turn('decrypt', pieces.reverse());
  return data.equals(plaintext) ? ciphertext : null;
}

type Verdict = 'right' | 'wrong' | 'missing';

function judge(engine: Engine, use: CheckedUse): Verdict {
  const { cipher, mode, keyBytes } = use;
  const kernel = requireKernel();
  const known = knownSectors(keyBytes);
  // IV generators turn single blocks by ECB, so that is tried in these.
  const sectorSizeBytes = mode === ecb ? cipher.blockBytes : use.sectorSizeBytes;
  const ciphertexts: Buffer[] = [];
  for (const key of known.keys) {
    const opened = mode.open({ kernel, engine, cipher, key, sectorSizeBytes });
    if (!opened) return 'missing';
    try {
      const ciphertext = turnKnown(kernel, opened, known, sectorSizeBytes, mode.ivBytes(cipher));
      if (!ciphertext) return 'wrong';
      ciphertexts.push(ciphertext);
    } catch (error) {
      debug('%s: %s', engine.name, (error as Error).message);
      return 'wrong';
    } finally {
      opened.destroy();
    }
  }
  return digestSectors(ciphertexts) === findKnownDigest(use) ? 'right' : 'wrong';
}

const ENVIRONMENT_KEY = 'luksfuse: engines that were checked';
/** Threads that are started get what their starter knows by then, so that each does not try anew. */
const verdicts = (getEnvironmentData(ENVIRONMENT_KEY) as Map<string, Verdict> | undefined) ?? new Map();
setEnvironmentData(ENVIRONMENT_KEY, verdicts);

/** Tries the engine at its first use for this in the process. */
export function checkEngine(engine: Engine, use: CheckedUse): Verdict {
  const { cipher, mode, keyBytes, sectorSizeBytes } = use;
  const name = `${engine.name} ${cipher.name}-${mode.name} ${keyBytes * 8} ${mode === ecb ? 0 : sectorSizeBytes}`;
  const known = verdicts.get(name);
  if (known) return known;
  const verdict = judge(engine, use);
  verdicts.set(name, verdict);
  if (verdict === 'wrong') debug('%s gives wrong bytes and is not used', name);
  return verdict;
}

/** The engine for IV generators: only block ciphers that were tried, with whatever key size they choose. */
export function withCheckedBlocks(engine: Engine): Engine {
  return {
    ...engine,
    findBlockCipher: (kernel, cipher, key) => {
      const use = { cipher, mode: ecb, keyBytes: key.length, sectorSizeBytes: 0 };
      return checkEngine(engine, use) === 'right' ? engine.findBlockCipher(kernel, cipher, key) : null;
    },
  };
}
