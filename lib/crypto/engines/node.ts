/**
 * The engine for machines where no native code can be called: node:crypto, which copies in and out. It has to
 * be handed the key as it is, so OpenSSL's copy of it is all that is kept.
 */
import crypto from 'node:crypto';
import createDebug from 'debug';
import { wipe } from '../../bytes.js';
import type { CipherRow } from '../ciphers.js';
import type { Kernel } from '../kernel.js';
import type { BlockCipher, CbcChain, Engine } from './engine.js';

const debug = createDebug('luksfuse:node-crypto');

/**
 * The cipher in this mode, or null where node's OpenSSL lacks it: it may list ciphers of a provider that is not
 * loaded, and refuse them only when asked to make one.
 */
function find<T>(
  make: (name: string, key: Uint8Array, iv: Buffer | null) => T,
  cipher: CipherRow,
  mode: string,
  key: Uint8Array,
  iv: Buffer | null,
): T | null {
  if (!cipher.opensslName) return null;
  try {
    return make(`${cipher.opensslName(key.length * 8)}-${mode}`.toLowerCase(), key, iv);
  } catch (error) {
    debug('%s-%s: %s', cipher.name, mode, (error as Error).message);
    return null;
  }
}

type Stream = { update(data: Uint8Array): Buffer };

function turn(kernel: Kernel, stream: Stream, source: number, target: number, lengthBytes: number): void {
  const result = stream.update(kernel.bytes.subarray(source, source + lengthBytes));
  kernel.bytes.set(result, target);
  wipe(result);
}

function findBlockCipher(kernel: Kernel, cipher: CipherRow, key: Uint8Array): BlockCipher | null {
  const encryption = find(crypto.createCipheriv, cipher, 'ecb', key, null)?.setAutoPadding(false);
  const decryption = find(crypto.createDecipheriv, cipher, 'ecb', key, null)?.setAutoPadding(false);
  if (!encryption || !decryption) return null;
  return {
    encrypt: (source, target, length) => turn(kernel, encryption, source, target, length),
    decrypt: (source, target, length) => turn(kernel, decryption, source, target, length),
    destroy: () => {
      encryption.final();
      decryption.final();
    },
  };
}

function findCbcChain(kernel: Kernel, cipher: CipherRow, key: Uint8Array): CbcChain | null {
  const zeroIv = Buffer.alloc(cipher.blockBytes);
  const encryption = find(crypto.createCipheriv, cipher, 'cbc', key, zeroIv)?.setAutoPadding(false);
  const decryption = find(crypto.createDecipheriv, cipher, 'cbc', key, zeroIv)?.setAutoPadding(false);
  if (!encryption || !decryption) return null;
  return {
    columnSectors: 32,
    encryptInPlace: (offset, length) => turn(kernel, encryption, offset, offset, length),
    decryptInPlace: (offset, length) => turn(kernel, decryption, offset, offset, length),
    destroy: () => {
      encryption.final();
      decryption.final();
    },
  };
}

export const nodeEngine: Engine = {
  name: 'node-crypto',
  findBlockCipher,
  findMaskedBlocks: () => null,
  findCbcChain,
  findXtsSector: () => null,
};
