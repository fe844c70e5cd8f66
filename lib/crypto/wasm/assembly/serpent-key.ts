/**
 * Serpent's key schedule, and what encryption and decryption have in common.
 */

/** The fractional part of the golden ratio. */
const PHI: u32 = 0x9e3779b9;

/** S0 to S7, the output for input n in the n-th nibble. */
function sBox(index: i32): u64 {
  switch (index) {
    case 0: return 0xc90724de_b56a1f83;
    case 1: return 0x43d68eb1_a50972cf;
    case 2: return 0x25b04e1d_fac39768;
    case 3: return 0xe57a421d_369c8bf0;
    case 4: return 0xd7e9a452_6b0c38f1;
    case 5: return 0x176d8e30_c9a4b25f;
    case 6: return 0x0a3df19e_b6485c27;
    default: return 0x6539ac47_b28e0fd1;
  }
}

// @ts-ignore: decorator
@inline
export function xor(a: v128, b: v128): v128 {
  return v128.xor(a, b);
}

// @ts-ignore: decorator
@inline
export function and(a: v128, b: v128): v128 {
  return v128.and(a, b);
}

// @ts-ignore: decorator
@inline
export function or(a: v128, b: v128): v128 {
  return v128.or(a, b);
}

// @ts-ignore: decorator
@inline
export function not(a: v128): v128 {
  return v128.not(a);
}

// @ts-ignore: decorator
@inline
export function shl(a: v128, bits: i32): v128 {
  return i32x4.shl(a, bits);
}

// @ts-ignore: decorator
@inline
export function rotate(a: v128, bits: i32): v128 {
  return v128.or(i32x4.shl(a, bits), i32x4.shr_u(a, 32 - bits));
}

/** One word of a round key, in all four lanes. */
// @ts-ignore: decorator
@inline
export function key(schedule: usize, offset: usize): v128 {
  return v128.load32_splat(schedule + offset);
}

/** Word `index` of each of four blocks; the transposition, which is its own inverse. */
// @ts-ignore: decorator
@inline
function word(a: v128, b: v128, c: v128, d: v128, index: i32): v128 {
  const ab = index < 2 ? v128.shuffle<i32>(a, b, 0, 4, 1, 5) : v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd = index < 2 ? v128.shuffle<i32>(c, d, 0, 4, 1, 5) : v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  return (index & 1) == 0 ? v128.shuffle<i64>(ab, cd, 0, 2) : v128.shuffle<i64>(ab, cd, 1, 3);
}

// @ts-ignore: decorator
@inline
function transpose4(source: usize, target: usize): void {
  const a = v128.load(source), b = v128.load(source, 16), c = v128.load(source, 32), d = v128.load(source, 48);
  v128.store(target, word(a, b, c, d, 0));
  v128.store(target, word(a, b, c, d, 1), 16);
  v128.store(target, word(a, b, c, d, 2), 32);
  v128.store(target, word(a, b, c, d, 3), 48);
}

/** Eight blocks into two sets of four vectors, the same word of four blocks in each; and back. */
export function transpose8(source: usize, target: usize): void {
  transpose4(source, target);
  transpose4(source + 64, target + 64);
}

/** A round key over both sets. */
export function mixKey8(roundKey: usize, at: usize): void {
  for (let i: usize = 0; i < 4; i++, at += 16) {
    const k = key(roundKey, i << 2);
    v128.store(at, xor(v128.load(at), k));
    v128.store(at, xor(v128.load(at, 64), k), 64);
  }
}

/**
 * The schedule of a key of 16, 24 or 32 bytes: 704 bytes at `schedule`. A short key goes on with a single one bit
 * and zeros (section 4 of the proposal).
 */
export function serpentSetKey(schedule: usize, userKey: usize, keyBytes: i32): void {
  // The eight words before the first prekey lie where the last round keys will.
  const before = schedule + 528;
  memory.fill(before, 0, 32);
  memory.copy(before, userKey, keyBytes);
  if (keyBytes < 32) store<u8>(before + keyBytes, 1);
  for (let i: i32 = 0; i < 132; i++) {
    let sum = PHI ^ <u32>i;
    for (let back = 1; back <= 8; back++) {
      if (back != 1 && back != 3 && back != 5 && back != 8) continue;
      sum ^= load<u32>(i >= back ? schedule + ((i - back) << 2) : before + ((8 + i - back) << 2));
    }
    store<u32>(schedule + (i << 2), rotl<u32>(sum, 11));
  }
  for (let round = 0; round < 33; round++) substitute(schedule + (round << 4), sBox((35 - round) & 7));
  memory.fill(before, 0, 32);
}

/** One round key through an S-box, bit by bit: bit n of the four words is one nibble. */
function substitute(at: usize, box: u64): void {
  const a = load<u32>(at), b = load<u32>(at, 4), c = load<u32>(at, 8), d = load<u32>(at, 12);
  let w: u32 = 0, x: u32 = 0, y: u32 = 0, z: u32 = 0;
  for (let bit = 0; bit < 32; bit++) {
    const nibble = ((a >> bit) & 1) | (((b >> bit) & 1) << 1) | (((c >> bit) & 1) << 2) | (((d >> bit) & 1) << 3);
    const out = <u32>(box >> (nibble << 2)) & 15;
    w |= (out & 1) << bit;
    x |= ((out >> 1) & 1) << bit;
    y |= ((out >> 2) & 1) << bit;
    z |= (out >> 3) << bit;
  }
  store<u32>(at, w);
  store<u32>(at, x, 4);
  store<u32>(at, y, 8);
  store<u32>(at, z, 12);
}
