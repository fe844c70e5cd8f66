/**
 * Sector encryption by node:crypto, one sector at a time: slow, obvious, and sharing no code with
 * lib/crypto, which it checks. dm-crypt's IV generators: plain (32 bits), plain64, essiv:sha256.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';

export interface SectorReference {
  /** Turns one sector; `ivSector` is its number in 512-byte units. */
  encrypt(sector: Uint8Array, ivSector: bigint): Buffer;
  decrypt(sector: Uint8Array, ivSector: bigint): Buffer;
}

function encryptBlock(key: Buffer, block: Buffer): Buffer {
  const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
  return Buffer.concat([cipher.update(block), cipher.final()]);
}

function makeIv(generator: string, key: Buffer, ivSector: bigint): Buffer {
  const iv = Buffer.alloc(16);
  if (generator === 'plain') iv.writeUInt32LE(Number(ivSector & 0xffff_ffffn));
  else iv.writeBigUInt64LE(ivSector);
  return generator === 'essiv:sha256' ? encryptBlock(createHash('sha256').update(key).digest(), iv) : iv;
}

/** `cipher` as cryptsetup spells it, of aes only. */
export function sectorReference(cipher: string, key: Buffer): SectorReference {
  const [, mode, generator] = /^aes-(xts|cbc)-(plain|plain64|essiv:sha256)$/.exec(cipher) as unknown as [
    string,
    string,
    string,
  ];
  const name = `aes-${mode === 'xts' ? key.length * 4 : key.length * 8}-${mode}`;
  return {
    encrypt(sector, ivSector) {
      const context = createCipheriv(name, key, makeIv(generator, key, ivSector)).setAutoPadding(false);
      return Buffer.concat([context.update(sector), context.final()]);
    },
    decrypt(sector, ivSector) {
      const context = createDecipheriv(name, key, makeIv(generator, key, ivSector)).setAutoPadding(false);
      return Buffer.concat([context.update(sector), context.final()]);
    },
  };
}
