/**
 * The engine that calls node's own OpenSSL in place on the kernel's memory: fast everywhere.
 */
import { EvpCipher } from '../../native/evp.js';
import type { CipherRow } from '../ciphers.js';
import type { Kernel } from '../kernel.js';
import type { BlockCipher, CbcChain, Engine, XtsSector } from './engine.js';

function findEvp(cipher: CipherRow, mode: string, key: Uint8Array, keyBytes: number, encrypt: boolean) {
  return cipher.opensslName
    ? EvpCipher.find(`${cipher.opensslName(keyBytes * 8)}-${mode}`, key, encrypt)
    : null;
}

/** Both directions of a cipher, or null, with nothing left open. */
function findPair(cipher: CipherRow, mode: string, key: Uint8Array, keyBytes: number) {
  const encryption = findEvp(cipher, mode, key, keyBytes, true);
  const decryption = encryption && findEvp(cipher, mode, key, keyBytes, false);
  if (encryption && decryption) return { encryption, decryption };
  encryption?.destroy();
  return null;
}

function findBlockCipher(kernel: Kernel, cipher: CipherRow, key: Uint8Array): BlockCipher | null {
  const base = kernel.address;
  const pair = base === null ? null : findPair(cipher, 'ECB', key, key.length);
  if (base === null || !pair) return null;
  const { encryption, decryption } = pair;
  return {
    encrypt: (source, target, length) => encryption.update(base + source, base + target, length),
    decrypt: (source, target, length) => decryption.update(base + source, base + target, length),
    destroy: () => {
      encryption.destroy();
      decryption.destroy();
    },
  };
}

function findCbcChain(kernel: Kernel, cipher: CipherRow, key: Uint8Array): CbcChain | null {
  const base = kernel.address;
  const pair = base === null ? null : findPair(cipher, 'CBC', key, key.length);
  if (base === null || !pair) return null;
  const { encryption, decryption } = pair;
  return {
    columnSectors: 6,
    encryptInPlace: (offset, length) => encryption.update(base + offset, base + offset, length),
    decryptInPlace: (offset, length) => decryption.update(base + offset, base + offset, length),
    destroy: () => {
      encryption.destroy();
      decryption.destroy();
    },
  };
}

function findXtsSector(kernel: Kernel, cipher: CipherRow, key: Uint8Array): XtsSector | null {
  // OpenSSL's only other XTS is SM4's, by default the one of GB/T 17964 and not of IEEE 1619.
  const base = cipher.name === 'aes' ? kernel.address : null;
  const pair = base === null ? null : findPair(cipher, 'XTS', key, key.length / 2);
  if (base === null || !pair) return null;
  const { encryption, decryption } = pair;
  const turn = (evp: EvpCipher, offset: number, length: number, ivOffset: number) => {
    evp.setIv(base + ivOffset);
    evp.update(base + offset, base + offset, length);
  };
  return {
    encryptInPlace: (offset, length, ivOffset) => turn(encryption, offset, length, ivOffset),
    decryptInPlace: (offset, length, ivOffset) => turn(decryption, offset, length, ivOffset),
    destroy: () => {
      encryption.destroy();
      decryption.destroy();
    },
  };
}

export const opensslEngine: Engine = {
  name: 'openssl-ffi',
  findBlockCipher,
  findMaskedBlocks: () => null,
  findCbcChain,
  findXtsSector,
};
