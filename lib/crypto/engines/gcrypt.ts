/**
 * The engine that calls the system's libgcrypt, for the ciphers of which that turns many blocks at once with the processor's
 * widest instructions: the fastest for those.
 *
 * It does so when it decrypts CBC and CFB, but not ECB. So rows of blocks are decrypted by CFB, which runs the cipher
 * forwards, or by CBC, which runs it backwards, with one block more than is wanted, so that no IV plays a part; and what
 * the chaining XORed in is taken out again (wasm/assembly/chained.ts).
 */
import { GcryptCipher } from '../../native/gcrypt.js';
import type { CipherRow } from '../ciphers.js';
import type { Kernel } from '../kernel.js';
import type { BlockCipher, CbcChain, Engine, MaskedBlocks, XtsSector } from './engine.js';
import { opensslEngine } from './openssl.js';
import { wasmEngine } from './wasm.js';

const BLOCK_BYTES = 16;

/** All measured: test/bench/ciphers.ts. */
interface WideCipher {
  /** What the processor must have for it, in libgcrypt's words. */
  feature: string;
  gcryptName: (keyBits: number) => string;
  /** From sectors of this size on, its XTS by a call a sector beats two passes of the mask. */
  largeSectorBytes: number;
  /** The faster engine for rows that are too short to be turned at once. */
  narrow: Engine | null;
  /** As of a `CbcChain`. */
  columnSectors: number;
}

function wide(
  feature: string,
  gcryptName: WideCipher['gcryptName'],
  { largeSectorBytes = Number.POSITIVE_INFINITY, narrow = null, columnSectors = 6 }: Partial<WideCipher> = {},
): WideCipher {
  return { feature, gcryptName, largeSectorBytes, narrow, columnSectors };
}

const NARROW_BYTES = 16 * BLOCK_BYTES;

/** By our names. */
const WIDE_CIPHERS: ReadonlyMap<string, WideCipher> = new Map([
  ['aes', wide('intel-vaes-vpclmul', (bits) => `AES-${bits}`, { largeSectorBytes: 2048 })],
  ['serpent', wide('intel-avx2', (bits) => `SERPENT${bits}`, { narrow: wasmEngine, columnSectors: 3 })],
  ['twofish', wide('intel-avx2', (bits) => (bits === 256 ? 'TWOFISH' : `TWOFISH${bits}`))],
  ['camellia', wide('intel-avx2', (bits) => `CAMELLIA${bits}`, { narrow: opensslEngine })],
  ['sm4', wide('intel-avx2', () => 'SM4')],
]);

type Mode = 'CBC' | 'CFB' | 'XTS';

function find(row: WideCipher, mode: Mode, key: Uint8Array, keyBytes = key.length): GcryptCipher | null {
  return GcryptCipher.find(row.gcryptName(keyBytes * 8), mode, row.feature, key);
}

/** Two handles for one key, or null, with nothing left open. */
function findPair(row: WideCipher, modes: readonly [Mode, Mode], key: Uint8Array) {
  const first = find(row, modes[0], key);
  const second = first && find(row, modes[1], key);
  if (first && second) return [first, second] as const;
  first?.destroy();
  return null;
}

/**
 * Rows of blocks as the two modes leave them in the kernel's `turned` region, one block longer: the block behind the row
 * (forwards) or before it (backwards) takes part, and must be the same when the chaining is taken out.
 */
interface ChainedRows {
  forwards(source: number, lengthBytes: number): void;
  backwards(source: number, lengthBytes: number): void;
  destroy(): void;
}

function findRows(kernel: Kernel, row: WideCipher | undefined, key: Uint8Array): ChainedRows | null {
  const base = kernel.address;
  const pair = row && base !== null ? findPair(row, ['CFB', 'CBC'], key) : null;
  if (base === null || !pair) return null;
  const [cfb, cbc] = pair;
  const turned = base + kernel.turnedOffset;
  return {
    forwards: (source, length) => cfb.decrypt(base + source, turned, length + BLOCK_BYTES),
    backwards: (source, length) => cbc.decrypt(base + source - BLOCK_BYTES, turned, length + BLOCK_BYTES),
    destroy: () => {
      cfb.destroy();
      cbc.destroy();
    },
  };
}

function findRowCipher(kernel: Kernel, cipher: CipherRow, key: Uint8Array): BlockCipher | null {
  const rows = findRows(kernel, WIDE_CIPHERS.get(cipher.name), key);
  if (!rows) return null;
  const { functions, turnedOffset } = kernel;
  return {
    encrypt: (source, target, length) => {
      rows.forwards(source, length);
      functions.unchainAhead(target, source, turnedOffset, length);
    },
    decrypt: (source, target, length) => {
      rows.backwards(source, length);
      functions.unchainBehind(target, source, turnedOffset, length);
    },
    destroy: rows.destroy,
  };
}

function findBlockCipher(kernel: Kernel, cipher: CipherRow, key: Uint8Array): BlockCipher | null {
  const wide = findRowCipher(kernel, cipher, key);
  const narrow = wide && WIDE_CIPHERS.get(cipher.name)?.narrow?.findBlockCipher(kernel, cipher, key);
  if (!wide || !narrow) return wide;
  const suited = (length: number) => (length < NARROW_BYTES ? narrow : wide);
  return {
    encrypt: (source, target, length) => suited(length).encrypt(source, target, length),
    decrypt: (source, target, length) => suited(length).decrypt(source, target, length),
    destroy: () => {
      wide.destroy();
      narrow.destroy();
    },
  };
}

function findMaskedBlocks(kernel: Kernel, cipher: CipherRow, key: Uint8Array): MaskedBlocks | null {
  const rows = findRows(kernel, WIDE_CIPHERS.get(cipher.name), key);
  if (!rows) return null;
  const { functions, turnedOffset } = kernel;
  return {
    encryptInPlace: (offset, masks, length) => {
      rows.forwards(offset, length);
      functions.unmaskAhead(offset, turnedOffset, masks, length);
    },
    decryptInPlace: (offset, masks, length) => {
      rows.backwards(offset, length);
      functions.unmaskBehind(offset, turnedOffset, masks, length);
    },
    destroy: rows.destroy,
  };
}

function findCbcChain(kernel: Kernel, cipher: CipherRow, key: Uint8Array): CbcChain | null {
  const base = kernel.address;
  const row = WIDE_CIPHERS.get(cipher.name);
  const pair = row && base !== null ? findPair(row, ['CBC', 'CBC'], key) : null;
  if (base === null || !row || !pair) return null;
  const [encryption, decryption] = pair;
  return {
    columnSectors: row.columnSectors,
    encryptInPlace: (offset, length) => encryption.encrypt(base + offset, base + offset, length),
    decryptInPlace: (offset, length) => decryption.decrypt(base + offset, base + offset, length),
    destroy: () => {
      encryption.destroy();
      decryption.destroy();
    },
  };
}

function findXtsSector(
  kernel: Kernel,
  cipher: CipherRow,
  key: Uint8Array,
  sectorSizeBytes: number,
): XtsSector | null {
  const base = kernel.address;
  const row = WIDE_CIPHERS.get(cipher.name);
  if (base === null || !row || sectorSizeBytes < row.largeSectorBytes) return null;
  const xts = find(row, 'XTS', key, key.length / 2);
  if (!xts) return null;
  return {
    encryptInPlace: (offset, length, ivOffset) => {
      xts.setIv(base + ivOffset, BLOCK_BYTES);
      xts.encrypt(base + offset, base + offset, length);
    },
    decryptInPlace: (offset, length, ivOffset) => {
      xts.setIv(base + ivOffset, BLOCK_BYTES);
      xts.decrypt(base + offset, base + offset, length);
    },
    destroy: () => xts.destroy(),
  };
}

export const gcryptEngine: Engine = {
  name: 'gcrypt-ffi',
  findBlockCipher,
  findMaskedBlocks,
  findCbcChain,
  findXtsSector,
};
