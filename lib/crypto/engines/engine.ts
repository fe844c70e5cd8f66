/**
 * What an implementation of the block ciphers gives to the modes. All offsets are into the memory of kernel.ts.
 * Every engine gives the same bytes; which of the optional shortcuts it has is its own affair.
 */
import type { CipherRow } from '../ciphers.js';
import type { Kernel } from '../kernel.js';

/** Which implementation does the work; `none` is the null cipher's. */
export type EngineName = 'gcrypt-ffi' | 'openssl-ffi' | 'node-crypto' | 'wasm' | 'none';

/** One key of a block cipher, block by block. Source and target are the same or do not overlap. */
export interface BlockCipher {
  encrypt(source: number, target: number, lengthBytes: number): void;
  decrypt(source: number, target: number, lengthBytes: number): void;
  /** Forgets the key schedules. */
  destroy(): void;
}

/** One key of a block cipher, in place, and a mask of as many bytes XORed over what comes out: a multiple of 64. */
export interface MaskedBlocks {
  encryptInPlace(offset: number, masks: number, lengthBytes: number): void;
  decryptInPlace(offset: number, masks: number, lengthBytes: number): void;
  destroy(): void;
}

/**
 * Two endless streams of CBC in place from a zero IV, one a direction: each call goes on from the last block of
 * ciphertext of the one before.
 */
export interface CbcChain {
  /** From so many sectors on, this engine encrypts faster by columns of blocks (measured: test/bench/ciphers.ts). */
  readonly columnSectors: number;
  encryptInPlace(offset: number, lengthBytes: number): void;
  decryptInPlace(offset: number, lengthBytes: number): void;
  destroy(): void;
}

/** XTS over one whole sector in place, with the plain (not yet encrypted) tweak at `ivOffset`. */
export interface XtsSector {
  encryptInPlace(offset: number, lengthBytes: number, ivOffset: number): void;
  decryptInPlace(offset: number, lengthBytes: number, ivOffset: number): void;
  destroy(): void;
}

export interface Engine {
  readonly name: EngineName;
  /** Null where this engine or this machine lacks the cipher. The key is read here and never again. */
  findBlockCipher(kernel: Kernel, cipher: CipherRow, key: Uint8Array): BlockCipher | null;
  /** Null where the engine would only do one after the other. */
  findMaskedBlocks(kernel: Kernel, cipher: CipherRow, key: Uint8Array): MaskedBlocks | null;
  /** Null where the engine has no such shortcut. */
  findCbcChain(kernel: Kernel, cipher: CipherRow, key: Uint8Array): CbcChain | null;
  /**
   * Null where the engine has no such shortcut, where masks are faster with sectors of this size, or where it refuses
   * the key (OpenSSL: two equal halves).
   */
  findXtsSector(
    kernel: Kernel,
    cipher: CipherRow,
    key: Uint8Array,
    sectorSizeBytes: number,
  ): XtsSector | null;
}
