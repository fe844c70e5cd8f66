/**
 * Adiantum and HCTR2 written down naively from their papers, to compare with. Tweaks are 32 bytes.
 */
import crypto from 'node:crypto';

const littleNumber = (bytes: Uint8Array) =>
  BigInt(`0x${Buffer.from(bytes).reverse().toString('hex') || '0'}`);
const littleBytes = (value: bigint, size: number) =>
  Buffer.from(
    BigInt.asUintN(size * 8, value)
      .toString(16)
      .padStart(size * 2, '0'),
    'hex',
  ).reverse();

function aes(key: Uint8Array, block: Uint8Array): Buffer {
  const cipher = crypto.createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
  return cipher.update(block);
}

function xor(a: Uint8Array, b: Uint8Array): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ b[index]!));
}

/** The ChaCha permutation over sixteen words. */
function permute(words: Uint32Array, rounds: number): Uint32Array {
  const x = words.slice();
  const step = (a: number, b: number, c: number, bits: number) => {
    x[a] = x[a]! + x[b]!;
    const turned = x[c]! ^ x[a]!;
    x[c] = (turned << bits) | (turned >>> (32 - bits));
  };
  const quarter = (a: number, b: number, c: number, d: number) => {
    step(a, b, d, 16);
    step(c, d, b, 12);
    step(a, b, d, 8);
    step(c, d, b, 7);
  };
  for (let round = 0; round < rounds; round += 2) {
    for (let i = 0; i < 4; i += 1) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i += 1) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  return x;
}

const words = (bytes: Uint8Array) =>
  Uint32Array.from({ length: bytes.length / 4 }, (_, i) => Buffer.from(bytes).readUInt32LE(i * 4));
const bytesOf = (values: Uint32Array) =>
  Buffer.concat([...values].map((word) => littleBytes(BigInt(word), 4)));

function xchacha(key: Uint8Array, nonce: Uint8Array, length: number, rounds: number): Buffer {
  const constants = words(Buffer.from('expand 32-byte k'));
  const inner = permute(Uint32Array.of(...constants, ...words(key), ...words(nonce.subarray(0, 16))), rounds);
  const subkey = [...inner.subarray(0, 4), ...inner.subarray(12)];
  const blocks: Buffer[] = [];
  for (let counter = 0; counter * 64 < length; counter += 1) {
    const state = Uint32Array.of(...constants, ...subkey, counter, 0, ...words(nonce.subarray(16)));
    blocks.push(bytesOf(permute(state, rounds).map((word, index) => word + state[index]!)));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

function poly1305(key: Uint8Array, message: Buffer): bigint {
  const prime = (1n << 130n) - 5n;
  const r = littleNumber(key) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    sum = ((sum + littleNumber(message.subarray(at, at + 16)) + (1n << 128n)) * r) % prime;
  }
  return BigInt.asUintN(128, sum);
}

function nh(key: Uint32Array, unit: Uint8Array): Buffer {
  const m = words(unit);
  const passes = [0, 4, 8, 12].map((shift) => {
    let sum = 0n;
    for (let i = 0; i < m.length; i += 4) {
      const added = (n: number) => BigInt((m[i + n]! + key[i + n + shift]!) >>> 0);
      sum += added(0) * added(2) + added(1) * added(3);
    }
    return littleBytes(sum, 8);
  });
  return Buffer.concat(passes);
}

/** One sector. `rounds` is XChaCha's. */
export function encryptAdiantum(key: Buffer, tweak: Buffer, sector: Buffer, rounds: number): Buffer {
  const nonce = Buffer.alloc(24);
  nonce[0] = 1;
  const derived = xchacha(key, nonce, 1136, rounds);
  const nhKey = words(derived.subarray(64));
  const hash = (left: Buffer) => {
    const header = Buffer.concat([littleBytes(BigInt(left.length * 8), 16), tweak]);
    const units = Array.from({ length: Math.ceil(left.length / 1024) }, (_, i) =>
      nh(nhKey, left.subarray(i * 1024, (i + 1) * 1024)),
    );
    return (
      poly1305(derived.subarray(32, 48), header) + poly1305(derived.subarray(48, 64), Buffer.concat(units))
    );
  };
  const left = sector.subarray(0, -16);
  const middle = aes(
    derived.subarray(0, 32),
    littleBytes(littleNumber(sector.subarray(-16)) + hash(left), 16),
  );
  const streamNonce = Buffer.concat([middle, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])]);
  const newLeft = xor(left, xchacha(key, streamNonce, left.length, rounds));
  return Buffer.concat([newLeft, littleBytes(littleNumber(middle) - hash(newLeft), 16)]);
}

/** a * b * x^-128 modulo x^128 + x^127 + x^126 + x^121 + 1 (RFC 8452, 3). */
function dot(a: bigint, b: bigint): bigint {
  let product = 0n;
  for (let bit = 0n; bit < 128n; bit += 1n) {
    if ((a >> bit) & 1n) product ^= b;
    if (product & 1n) product ^= (1n << 128n) | (0b11000010n << 120n) | 1n;
    product >>= 1n;
  }
  return product;
}

/** One sector. */
export function encryptHctr2(key: Buffer, tweak: Buffer, sector: Buffer): Buffer {
  const hashKey = littleNumber(aes(key, littleBytes(0n, 16)));
  const l = aes(key, littleBytes(1n, 16));
  const hash = (message: Buffer) => {
    const input = Buffer.concat([littleBytes(2n * 256n + 2n, 16), tweak, message]);
    let sum = 0n;
    for (let at = 0; at < input.length; at += 16) {
      sum = dot(sum ^ littleNumber(input.subarray(at, at + 16)), hashKey);
    }
    return littleBytes(sum, 16);
  };
  const wide = sector.subarray(16);
  const before = xor(sector.subarray(0, 16), hash(wide));
  const after = aes(key, before);
  const s = xor(xor(before, after), l);
  const counters = Array.from({ length: wide.length / 16 }, (_, i) => xor(s, littleBytes(BigInt(i + 1), 16)));
  const newWide = xor(wide, aes(key, Buffer.concat(counters)));
  return Buffer.concat([xor(after, hash(newWide)), newWide]);
}
