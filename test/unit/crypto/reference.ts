/**
 * Every mode and IV generator written down naively, one block at a time, to compare with. The block cipher is the
 * one thing taken from the library, as ECB of one block; its own vectors stand for it. For AES the modes that
 * node:crypto has are taken from there, so that this reference is itself compared with something.
 */
import crypto from 'node:crypto';
import { type CipherSpec, parseCipherSpec } from '../../../lib/crypto/cipher-spec.js';
import { findCipher } from '../../../lib/crypto/ciphers.js';
import { createSectorCipher } from '../../../lib/crypto/sector-cipher.js';

type BlockFunction = (block: Buffer) => Buffer;

function blockFunction(cipherName: string, key: Uint8Array, blockBytes: number): BlockFunction {
  return (block) => {
    const cipher = createSectorCipher(`${cipherName}-ecb`, key, 512);
    const sector = Buffer.alloc(512);
    sector.set(block);
    cipher.encryptInPlace(sector, 0n);
    cipher.destroy();
    return sector.subarray(0, blockBytes);
  };
}

function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ b[index]!));
}

const toNumber = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`);
const toBytes = (value: bigint, size: number) =>
  Buffer.from(
    BigInt.asUintN(size * 8, value)
      .toString(16)
      .padStart(size * 2, '0'),
    'hex',
  );

/** a * b in GF(2^128), polynomials as numbers. */
function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  for (let bit = 127n; bit >= 0n; bit -= 1n) {
    product <<= 1n;
    if (product >> 128n) product ^= (1n << 128n) | 0x87n;
    if ((b >> bit) & 1n) product ^= a;
  }
  return product;
}

function ivOf(
  spec: CipherSpec,
  key: Buffer,
  encrypt: BlockFunction,
  blockBytes: number,
  sectorSizeBytes: number,
  ivSector: bigint,
): Buffer {
  const little = (value: bigint) => Buffer.from(toBytes(BigInt.asUintN(64, value), blockBytes)).reverse();
  const big = (value: bigint) => toBytes(BigInt.asUintN(64, value), blockBytes);
  switch (spec.iv) {
    case 'null':
      return Buffer.alloc(blockBytes);
    case 'plain':
      return little(BigInt.asUintN(32, ivSector));
    case 'plain64':
      return little(ivSector);
    case 'plain64be':
      return big(ivSector);
    case 'benbi':
      return big(ivSector * BigInt(512 / blockBytes) + 1n);
    case 'eboiv':
      return encrypt(little(ivSector * BigInt(sectorSizeBytes)));
    case 'essiv': {
      const salt = crypto.createHash(spec.ivHash!).update(key).digest();
      return blockFunction(spec.cipher, salt, blockBytes)(little(ivSector));
    }
    default:
      throw new Error(`no reference for ${spec.iv}`);
  }
}

/** One sector, by blocks. `key` is the whole key of the spec. */
function encryptSector(
  mode: string,
  encrypt: BlockFunction,
  tweakKey: Buffer,
  iv: Buffer,
  data: Buffer,
  tweak: BlockFunction,
): Buffer {
  const blockBytes = iv.length;
  let state = mode === 'xts' ? tweak(iv) : iv;
  const out: Buffer[] = [];
  for (let offset = 0; offset < data.length; offset += blockBytes) {
    const block = data.subarray(offset, offset + blockBytes);
    if (mode === 'ecb') out.push(encrypt(block));
    if (mode === 'cbc') {
      state = encrypt(xor(block, state));
      out.push(state);
    }
    if (mode === 'ctr') {
      out.push(xor(block, encrypt(state)));
      state = toBytes(toNumber(state) + 1n, blockBytes);
    }
    if (mode === 'xts') {
      out.push(xor(encrypt(xor(block, state)), state));
      state = toBytes(multiply(toNumber(Buffer.from(state).reverse()), 2n), 16).reverse();
    }
    if (mode === 'lrw') {
      const mask = toBytes(multiply(toNumber(tweakKey), toNumber(state)), 16);
      out.push(xor(encrypt(xor(block, mask)), mask));
      state = toBytes(toNumber(state) + 1n, 16);
    }
  }
  return Buffer.concat(out.map((block) => Buffer.from(block)));
}

/** The sectors of `data` encrypted, in a new Buffer. */
export function encryptNaively(
  specText: string,
  key: Buffer,
  sectorSizeBytes: number,
  data: Buffer,
  ivSector: bigint,
): Buffer {
  const spec = parseCipherSpec(specText);
  const { blockBytes } = findCipher(spec.cipher)!;
  const keyBytes = { xts: key.length / 2, lrw: key.length - 16 }[spec.mode] ?? key.length;
  const encrypt = blockFunction(spec.cipher, key.subarray(0, keyBytes), blockBytes);
  const tweakKey = key.subarray(keyBytes);
  const tweak = spec.mode === 'xts' ? blockFunction(spec.cipher, tweakKey, blockBytes) : encrypt;
  const sectors: Buffer[] = [];
  for (let offset = 0; offset < data.length; offset += sectorSizeBytes) {
    const iv = ivOf(spec, key, encrypt, blockBytes, sectorSizeBytes, ivSector + BigInt(offset / 512));
    const sector = data.subarray(offset, offset + sectorSizeBytes);
    if (spec.cipher === 'aes' && ['xts', 'cbc', 'ctr'].includes(spec.mode) && keyBytes !== 24) {
      const cipher = crypto.createCipheriv(`aes-${keyBytes * 8}-${spec.mode}`, key, iv);
      sectors.push(cipher.setAutoPadding(false).update(sector));
    } else {
      sectors.push(encryptSector(spec.mode, encrypt, tweakKey, iv, sector, tweak));
    }
  }
  return Buffer.concat(sectors);
}
