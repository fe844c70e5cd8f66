/**
 * Every mode and IV generator written down naively, one block at a time, to compare with. The block cipher is the
 * one thing taken from the library, block by block from one engine; its own vectors stand for it. For AES the modes that
 * node:crypto has are taken from there, so that this reference is itself compared with something.
 */
import crypto from 'node:crypto';
import { type CipherSpec, parseCipherSpec } from '../../../lib/crypto/cipher-spec.js';
import { findCipher } from '../../../lib/crypto/ciphers.js';
import type { BlockCipher } from '../../../lib/crypto/engines/engine.js';
import { nodeEngine } from '../../../lib/crypto/engines/node.js';
import { wasmEngine } from '../../../lib/crypto/engines/wasm.js';
import { requireKernel } from '../../../lib/crypto/kernel.js';
import { loadLegacyProvider } from '../../../lib/native/evp.js';
import { encryptAdiantum, encryptHctr2 } from './wide-reference.js';

type BlockFunction = (block: Buffer) => Buffer;

loadLegacyProvider();
const kernel = requireKernel();
const openBlocks = new Map<string, BlockCipher>();

/** The engines with the fewest shortcuts. Throws if neither has the cipher. */
function requireBlockCipher(cipherName: string, key: Uint8Array): BlockCipher {
  const name = `${cipherName} ${Buffer.from(key).toString('hex')}`;
  const open = openBlocks.get(name);
  if (open) return open;
  const cipher = findCipher(cipherName)!;
  const opened =
    nodeEngine.findBlockCipher(kernel, cipher, key) ?? wasmEngine.findBlockCipher(kernel, cipher, key);
  if (!opened) throw new Error(`there is no ${cipherName} to compare with`);
  // Key schedules have little room: only the last two stay open, as of XTS.
  for (const [other, block] of [...openBlocks].slice(0, -1)) {
    block.destroy();
    openBlocks.delete(other);
  }
  openBlocks.set(name, opened);
  return opened;
}

function blockFunction(cipherName: string, key: Uint8Array, blockBytes: number): BlockFunction {
  return (block) => {
    const { bytes, workOffset } = kernel;
    bytes.set(block, workOffset);
    requireBlockCipher(cipherName, key).encrypt(workOffset, workOffset, blockBytes);
    return Buffer.from(bytes.subarray(workOffset, workOffset + blockBytes));
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

/** a * x in GF(2^128), polynomials as numbers. */
function double(a: bigint): bigint {
  const product = a << 1n;
  return product >> 128n ? product ^ ((1n << 128n) | 0x87n) : product;
}

/** a * b in GF(2^128). */
function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  for (let bit = 127n; bit >= 0n; bit -= 1n) {
    product = double(product);
    if ((b >> bit) & 1n) product ^= a;
  }
  return product;
}

/** The next tweak as GB/T 17964 has it: the same multiplication, with the bits of the block in the reverse order. */
function nextGbTweak(tweak: Buffer): Buffer {
  const value = toNumber(tweak);
  return toBytes((value >> 1n) ^ (value & 1n ? 0xe1n << 120n : 0n), 16);
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
  let state = mode.startsWith('xts') ? tweak(iv) : iv;
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
      state = toBytes(double(toNumber(Buffer.from(state).reverse())), 16).reverse();
    }
    if (mode === 'xtsgb') {
      out.push(xor(encrypt(xor(block, state)), state));
      state = nextGbTweak(state);
    }
    if (mode === 'lrw') {
      const mask = toBytes(multiply(toNumber(tweakKey), toNumber(state)), 16);
      out.push(xor(encrypt(xor(block, mask)), mask));
      state = toBytes(toNumber(state) + 1n, 16);
    }
  }
  return Buffer.concat(out.map((block) => Buffer.from(block)));
}

/** node:crypto's own mode, where it has it and takes the key. */
function encryptByNode(cipher: string, mode: string, key: Buffer, iv: Buffer, sector: Buffer): Buffer | null {
  if (cipher !== 'aes' || !['xts', 'cbc', 'ctr'].includes(mode)) return null;
  try {
    const bits = (mode === 'xts' ? key.length / 2 : key.length) * 8;
    return crypto.createCipheriv(`aes-${bits}-${mode}`, key, iv).setAutoPadding(false).update(sector);
  } catch {
    return null;
  }
}

/** Whole sectors encrypted, in a new Buffer, each with the IV that is given by its number in the row. */
export function encryptSectors(
  cipher: string,
  mode: string,
  key: Buffer,
  sectorSizeBytes: number,
  data: Buffer,
  ivOfSector: (index: number) => Buffer,
): Buffer {
  const { blockBytes } = findCipher(cipher)!;
  const keyBytes = { xts: key.length / 2, xtsgb: key.length / 2, lrw: key.length - 16 }[mode] ?? key.length;
  const encrypt = blockFunction(cipher, key.subarray(0, keyBytes), blockBytes);
  const tweakKey = key.subarray(keyBytes);
  const tweak = mode.startsWith('xts') ? blockFunction(cipher, tweakKey, blockBytes) : encrypt;
  const sectors: Buffer[] = [];
  for (let offset = 0; offset < data.length; offset += sectorSizeBytes) {
    const iv = ivOfSector(offset / sectorSizeBytes);
    const sector = data.subarray(offset, offset + sectorSizeBytes);
    if (mode === 'adiantum') sectors.push(encryptAdiantum(key, iv, sector, cipher.includes('20') ? 20 : 12));
    else if (mode === 'hctr2') sectors.push(encryptHctr2(key, iv, sector));
    else {
      sectors.push(
        encryptByNode(cipher, mode, key, iv, sector) ??
          encryptSector(mode, encrypt, tweakKey, iv, sector, tweak),
      );
    }
  }
  return Buffer.concat(sectors);
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
  const dataKeyBytes = { xts: key.length / 2, lrw: key.length - 16 }[spec.mode] ?? key.length;
  const encrypt = blockFunction(spec.cipher, key.subarray(0, dataKeyBytes), blockBytes);
  return encryptSectors(spec.cipher, spec.mode, key, sectorSizeBytes, data, (index) =>
    ivOf(spec, key, encrypt, blockBytes, sectorSizeBytes, ivSector + BigInt((index * sectorSizeBytes) / 512)),
  );
}
