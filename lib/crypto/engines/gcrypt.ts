/**
 * The engine that calls the system's libgcrypt, where that turns many blocks at once with VAES: the fastest for AES.
 *
 * It does so when it decrypts CBC, CFB and XTS, but not ECB. So rows of blocks are decrypted by CFB, which runs the cipher
 * forwards, or by CBC, which runs it backwards, each as one stream without end, and what the chaining XORed in is taken
 * out again (wasm/assembly/chained.ts).
 */
import { GcryptCipher } from '../../native/gcrypt.js';
import type { CipherRow } from '../ciphers.js';
import type { Kernel } from '../kernel.js';
import type { BlockCipher, CbcChain, Engine, MaskedBlocks, XtsSector } from './engine.js';

const BLOCK_BYTES = 16;
/** What the processor must have, in libgcrypt's words. */
const FEATURE = 'intel-vaes-vpclmul';
/** From here on a call a sector costs less than two passes of the mask (measured: test/bench/ciphers.ts). */
const LARGE_SECTOR_BYTES = 2048;

function find(cipher: CipherRow, mode: 'CBC' | 'CFB' | 'XTS', key: Uint8Array, keyBytes: number) {
  if (cipher.name !== 'aes') return null;
  return GcryptCipher.find(`AES-${keyBytes * 8}`, mode, FEATURE, key);
}

/** Rows of blocks as the two modes leave them in the kernel's `turned` region. */
interface ChainedRows {
  /** Where the last block lies that `backwards` had; whoever takes the chaining out keeps it up. */
  readonly last: number;
  /** The block behind the row takes part; it is the same when the chaining is taken out. */
  forwards(source: number, lengthBytes: number): void;
  backwards(source: number, lengthBytes: number): void;
  destroy(): void;
}

function findRows(kernel: Kernel, cipher: CipherRow, key: Uint8Array): ChainedRows | null {
  const base = kernel.address;
  const cfb = base === null ? null : find(cipher, 'CFB', key, key.length);
  const cbc = cfb && find(cipher, 'CBC', key, key.length);
  if (base === null || !cbc) {
    cfb?.destroy();
    return null;
  }
  const turned = base + kernel.turnedOffset;
  const last = kernel.allocateKey(BLOCK_BYTES);
  return {
    last,
    forwards: (source, length) => cfb.decrypt(base + source, turned, length + BLOCK_BYTES),
    backwards: (source, length) => cbc.decrypt(base + source, turned, length),
    destroy: () => {
      cfb.destroy();
      cbc.destroy();
      kernel.releaseKey(last, BLOCK_BYTES);
    },
  };
}

function findBlockCipher(kernel: Kernel, cipher: CipherRow, key: Uint8Array): BlockCipher | null {
  const rows = findRows(kernel, cipher, key);
  if (!rows) return null;
  const { functions, turnedOffset } = kernel;
  return {
    encrypt: (source, target, length) => {
      rows.forwards(source, length);
      functions.unchainAhead(target, source, turnedOffset, length);
    },
    decrypt: (source, target, length) => {
      rows.backwards(source, length);
      functions.unchainBehind(target, source, turnedOffset, rows.last, length);
    },
    destroy: rows.destroy,
  };
}

function findMaskedBlocks(kernel: Kernel, cipher: CipherRow, key: Uint8Array): MaskedBlocks | null {
  const rows = findRows(kernel, cipher, key);
  if (!rows) return null;
  const { functions, turnedOffset } = kernel;
  return {
    encryptInPlace: (offset, masks, length) => {
      rows.forwards(offset, length);
      functions.unmaskAhead(offset, turnedOffset, masks, length);
    },
    decryptInPlace: (offset, masks, length) => {
      rows.backwards(offset, length);
      functions.unmaskBehind(offset, turnedOffset, masks, rows.last, length);
    },
    destroy: rows.destroy,
  };
}

function findCbcChain(kernel: Kernel, cipher: CipherRow, key: Uint8Array): CbcChain | null {
  const base = kernel.address;
  const encryption = base === null ? null : find(cipher, 'CBC', key, key.length);
  const decryption = encryption && find(cipher, 'CBC', key, key.length);
  if (base === null || !decryption) {
    encryption?.destroy();
    return null;
  }
  return {
    columnSectors: 6,
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
  if (base === null || sectorSizeBytes < LARGE_SECTOR_BYTES) return null;
  const xts = find(cipher, 'XTS', key, key.length / 2);
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
