/**
 * HCTR2 (P. Crowley, N. Huckleberry, E. Biggers, "Length-preserving encryption with HCTR2", 2021) but for its calls of
 * the block cipher: the hash (POLYVAL, RFC 8452, 3) and the counters of XCTR. Tweaks are 32 bytes; the narrow part of
 * a sector is its first 16 bytes. Table look-ups by secret bytes: timing is not constant.
 */

/** A schedule, 4112 bytes: the hash key times every byte, and L. */
const L: usize = 4096;

/**
 * Makes the tables of the 16-byte hash key at the schedule's start, which the tables then overwrite; the 16-byte L is
 * the caller's, at offset 4096. A polynomial is little-endian.
 */
export function setHctr2Key(schedule: usize): void {
  let low = load<u64>(schedule), high = load<u64>(schedule, 8);
  store<u64>(schedule, 0);
  store<u64>(schedule, 0, 8);
  for (let bit: u32 = 1; bit < 256; bit <<= 1) {
    const entry = schedule + (<usize>bit << 4);
    store<u64>(entry, low);
    store<u64>(entry, high, 8);
    for (let rest: u32 = 1; rest < bit; rest++) {
      const source = schedule + (<usize>rest << 4), target = schedule + (<usize>(bit | rest) << 4);
      v128.store(target, v128.xor(v128.load(source), v128.load(entry)));
    }
    // Times x, modulo x^128 + x^127 + x^126 + x^121 + 1.
    const carry = high >> 63;
    high = ((high << 1) | (low >> 63)) ^ (carry * 0xc200000000000000);
    low = (low << 1) ^ carry;
  }
}

/** `low` and `high` one behind the other, and of these the 16 bytes from the second on. */
// @ts-ignore: decorator
@inline
function shiftByte(low: v128, high: v128): v128 {
  return i8x16.shuffle(low, high, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
}

/**
 * The POLYVAL of a tweak and a message of whole blocks (HCTR2, 3.1), XORed over the 16 bytes at `out`. Each block is
 * added and multiplied by the hash key and x^-128. First byte by byte: a byte times the key is added, and all shifted down
 * by a byte; what falls out below gathers in `below`, and is multiplied by x^-128 at the end (x^-64 twice), where
 * x^-64 = x^63 + x^62 + x^57 + 1 to the polynomials of 64 bits.
 */
function xorHash(schedule: usize, tweak: usize, message: usize, bytes: usize, out: usize): void {
  const none = i64x2.splat(0);
  // First the block that says how long the tweak is, in bits, and that the message is of whole blocks.
  let low: u64 = 2 * 256 + 2, high: u64 = 0;
  const end = message + bytes;
  let next = tweak;
  while (true) {
    let product = none, below = none, half = low;
    for (let i = 0; i < 4; i++) {
      if (i == 2) half = high;
      product = v128.xor(product, v128.load(schedule + ((<usize>half & 0xff) << 4)));
      below = shiftByte(below, product);
      product = shiftByte(product, none);
      product = v128.xor(product, v128.load(schedule + (<usize>(half >> 4) & 0xff0)));
      below = shiftByte(below, product);
      product = shiftByte(product, none);
      product = v128.xor(product, v128.load(schedule + (<usize>(half >> 12) & 0xff0)));
      below = shiftByte(below, product);
      product = shiftByte(product, none);
      product = v128.xor(product, v128.load(schedule + (<usize>(half >> 20) & 0xff0)));
      below = shiftByte(below, product);
      product = shiftByte(product, none);
      half >>= 32;
    }
    const first = <u64>i64x2.extract_lane(below, 0);
    const second = <u64>i64x2.extract_lane(below, 1) ^ (first << 63) ^ (first << 62) ^ (first << 57);
    low = <u64>i64x2.extract_lane(product, 0) ^ first ^ (first >> 1) ^ (first >> 2) ^ (first >> 7);
    low ^= (second << 63) ^ (second << 62) ^ (second << 57);
    high = <u64>i64x2.extract_lane(product, 1) ^ second ^ (second >> 1) ^ (second >> 2) ^ (second >> 7);
    if (next == end) break;
    low ^= load<u64>(next);
    high ^= load<u64>(next, 8);
    next += 16;
    if (next == tweak + 32) next = message;
  }
  store<u64>(out, load<u64>(out) ^ low);
  store<u64>(out, load<u64>(out, 8) ^ high, 8);
}

/** Each of `narrows` (one block a sector) ^= the hash of its sector but for the first block. */
export function xorHctr2Hash(
  schedule: usize, data: usize, tweaks: usize, narrows: usize, sectorCount: i32, sectorBytes: usize,
): void {
  for (; sectorCount > 0; sectorCount--, data += sectorBytes, tweaks += 32, narrows += 16) {
    xorHash(schedule, tweaks, data + 16, sectorBytes - 16, narrows);
  }
}

/** XCTR's counters (HCTR2, 2): S ^ 1, S ^ 2, … little-endian for each sector, where S = before ^ after ^ L. */
export function fillXctr(
  schedule: usize, target: usize, before: usize, after: usize, sectorCount: i32, sectorBytes: usize,
): void {
  const l = v128.load(schedule + L);
  for (; sectorCount > 0; sectorCount--, before += 16, after += 16) {
    const s = v128.xor(l, v128.xor(v128.load(before), v128.load(after)));
    for (let i: u64 = 1; i < sectorBytes >> 4; i++, target += 16) {
      v128.store(target, v128.xor(s, i64x2.replace_lane(i64x2.splat(0), 0, i)));
    }
  }
}

/** XORs each sector but for its first block with its part of the keystream, which lies without gaps. */
export function xorXctr(data: usize, stream: usize, sectorCount: i32, sectorBytes: usize): void {
  for (; sectorCount > 0; sectorCount--, data += sectorBytes) {
    for (let offset: usize = 16; offset < sectorBytes; offset += 16, stream += 16) {
      v128.store(data + offset, v128.xor(v128.load(data + offset), v128.load(stream)));
    }
  }
}
