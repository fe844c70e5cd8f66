/**
 * XChaCha with 12 or 20 rounds (D. J. Bernstein, "ChaCha, a variant of Salsa20"; S. Arciszewski, "XChaCha",
 * draft-irtf-cfrg-xchacha), four blocks side by side: vector n holds word n of each.
 */

const BLOCKS_BYTES: usize = 256;

// @ts-ignore: decorator
@inline
function add(a: v128, b: v128): v128 {
  return i32x4.add(a, b);
}

/** a ^ b, each word rotated left. */
// @ts-ignore: decorator
@inline
function rotate16(a: v128, b: v128): v128 {
  const x = v128.xor(a, b);
  return v128.shuffle<i16>(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
}

// @ts-ignore: decorator
@inline
function rotate12(a: v128, b: v128): v128 {
  const x = v128.xor(a, b);
  return v128.or(i32x4.shl(x, 12), i32x4.shr_u(x, 20));
}

// @ts-ignore: decorator
@inline
function rotate8(a: v128, b: v128): v128 {
  const x = v128.xor(a, b);
  return v128.shuffle<i8>(x, x, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}

// @ts-ignore: decorator
@inline
function rotate7(a: v128, b: v128): v128 {
  const x = v128.xor(a, b);
  return v128.or(i32x4.shl(x, 7), i32x4.shr_u(x, 25));
}

// @ts-ignore: decorator
@inline
function splat(state: usize, index: usize): v128 {
  return v128.load32_splat(state + (index << 2));
}

/** Stores words 4n to 4n + 3 of four blocks, XORed with what is there. */
// @ts-ignore: decorator
@inline
function xorWords(at: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const ef = v128.shuffle<i32>(a, b, 2, 6, 3, 7), gh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(at, v128.xor(v128.load(at), v128.shuffle<i64>(ab, cd, 0, 2)));
  v128.store(at, v128.xor(v128.load(at, 64), v128.shuffle<i64>(ab, cd, 1, 3)), 64);
  v128.store(at, v128.xor(v128.load(at, 128), v128.shuffle<i64>(ef, gh, 0, 2)), 128);
  v128.store(at, v128.xor(v128.load(at, 192), v128.shuffle<i64>(ef, gh, 1, 3)), 192);
}

/** XORs 256 bytes of keystream over `at`, from the counter in the state on. */
function xorFour(state: usize, at: usize, rounds: i32): void {
  const counters = add(splat(state, 12), i32x4(0, 1, 2, 3));
  let x0 = splat(state, 0), x1 = splat(state, 1), x2 = splat(state, 2), x3 = splat(state, 3);
  let x4 = splat(state, 4), x5 = splat(state, 5), x6 = splat(state, 6), x7 = splat(state, 7);
  let x8 = splat(state, 8), x9 = splat(state, 9), x10 = splat(state, 10), x11 = splat(state, 11);
  let x12 = counters, x13 = splat(state, 13), x14 = splat(state, 14), x15 = splat(state, 15);
  for (let round = 0; round < rounds; round += 2) {
    x0 = add(x0, x4); x1 = add(x1, x5); x2 = add(x2, x6); x3 = add(x3, x7);
    x12 = rotate16(x12, x0); x13 = rotate16(x13, x1); x14 = rotate16(x14, x2); x15 = rotate16(x15, x3);
    x8 = add(x8, x12); x9 = add(x9, x13); x10 = add(x10, x14); x11 = add(x11, x15);
    x4 = rotate12(x4, x8); x5 = rotate12(x5, x9); x6 = rotate12(x6, x10); x7 = rotate12(x7, x11);
    x0 = add(x0, x4); x1 = add(x1, x5); x2 = add(x2, x6); x3 = add(x3, x7);
    x12 = rotate8(x12, x0); x13 = rotate8(x13, x1); x14 = rotate8(x14, x2); x15 = rotate8(x15, x3);
    x8 = add(x8, x12); x9 = add(x9, x13); x10 = add(x10, x14); x11 = add(x11, x15);
    x4 = rotate7(x4, x8); x5 = rotate7(x5, x9); x6 = rotate7(x6, x10); x7 = rotate7(x7, x11);
    x0 = add(x0, x5); x1 = add(x1, x6); x2 = add(x2, x7); x3 = add(x3, x4);
    x15 = rotate16(x15, x0); x12 = rotate16(x12, x1); x13 = rotate16(x13, x2); x14 = rotate16(x14, x3);
    x10 = add(x10, x15); x11 = add(x11, x12); x8 = add(x8, x13); x9 = add(x9, x14);
    x5 = rotate12(x5, x10); x6 = rotate12(x6, x11); x7 = rotate12(x7, x8); x4 = rotate12(x4, x9);
    x0 = add(x0, x5); x1 = add(x1, x6); x2 = add(x2, x7); x3 = add(x3, x4);
    x15 = rotate8(x15, x0); x12 = rotate8(x12, x1); x13 = rotate8(x13, x2); x14 = rotate8(x14, x3);
    x10 = add(x10, x15); x11 = add(x11, x12); x8 = add(x8, x13); x9 = add(x9, x14);
    x5 = rotate7(x5, x10); x6 = rotate7(x6, x11); x7 = rotate7(x7, x8); x4 = rotate7(x4, x9);
  }
  xorWords(at + 0, add(x0, splat(state, 0)), add(x1, splat(state, 1)), add(x2, splat(state, 2)), add(x3, splat(state, 3)));
  xorWords(at + 16, add(x4, splat(state, 4)), add(x5, splat(state, 5)), add(x6, splat(state, 6)), add(x7, splat(state, 7)));
  xorWords(at + 32, add(x8, splat(state, 8)), add(x9, splat(state, 9)), add(x10, splat(state, 10)), add(x11, splat(state, 11)));
  xorWords(at + 48, add(x12, counters), add(x13, splat(state, 13)), add(x14, splat(state, 14)), add(x15, splat(state, 15)));
}

/**
 * XORs the keystream over `bytes` at `data`. `state` holds the sixteen words of the first block; `piece` is 256 bytes
 * for the last, partial turn. A message has less than 2^32 blocks, so only the counter's lower word moves.
 */
export function xorChacha(state: usize, piece: usize, data: usize, bytes: usize, rounds: i32): void {
  for (; bytes >= BLOCKS_BYTES; bytes -= BLOCKS_BYTES, data += BLOCKS_BYTES) {
    xorFour(state, data, rounds);
    store<u32>(state, load<u32>(state, 48) + 4, 48);
  }
  if (bytes == 0) return;
  memory.copy(piece, data, bytes);
  xorFour(state, piece, rounds);
  memory.copy(data, piece, bytes);
}

// @ts-ignore: decorator
@inline
function setConstants(state: usize): void {
  // "expand 32-byte k"
  store<u64>(state, 0x3320646e61707865);
  store<u64>(state, 0x6b20657479622d32, 8);
}

// @ts-ignore: decorator
@inline
function quarter(state: usize, a: usize, b: usize, c: usize, d: usize): void {
  let w = load<u32>(state + a), x = load<u32>(state + b), y = load<u32>(state + c), z = load<u32>(state + d);
  w += x; z = rotl<u32>(z ^ w, 16); y += z; x = rotl<u32>(x ^ y, 12);
  w += x; z = rotl<u32>(z ^ w, 8); y += z; x = rotl<u32>(x ^ y, 7);
  store<u32>(state + a, w);
  store<u32>(state + b, x);
  store<u32>(state + c, y);
  store<u32>(state + d, z);
}

/**
 * The state of XChaCha's first block, 64 bytes at `state`: HChaCha of the key and the first 16 bytes of the nonce is
 * the key, the last 8 bytes of the nonce the nonce, and the counter is 0.
 */
export function setXchacha(state: usize, key: usize, nonce: usize, nonceEnd: u64, rounds: i32): void {
  setConstants(state);
  memory.copy(state + 16, key, 32);
  memory.copy(state + 48, nonce, 16);
  for (let round = 0; round < rounds; round += 2) {
    quarter(state, 0, 16, 32, 48);
    quarter(state, 4, 20, 36, 52);
    quarter(state, 8, 24, 40, 56);
    quarter(state, 12, 28, 44, 60);
    quarter(state, 0, 20, 40, 60);
    quarter(state, 4, 24, 44, 48);
    quarter(state, 8, 28, 32, 52);
    quarter(state, 12, 16, 36, 56);
  }
  // HChaCha's output is the first and the last row.
  v128.store(state, v128.load(state, 48), 32);
  v128.store(state, v128.load(state), 16);
  setConstants(state);
  store<u64>(state, 0, 48);
  store<u64>(state, nonceEnd, 56);
}
