/**
 * CAST-256, the kernel's cast6 (RFC 2612), over any number of blocks. A schedule is 416 bytes: twelve quad-rounds
 * of four rotations and four masks (384 bytes), and room for the eight words of the key while they are turned.
 * Table look-ups by secret bytes: timing is not constant.
 */
import { CAST_BOXES } from './cast-boxes.js';

const QUAD_BYTES: usize = 32;
const LAST_QUAD: usize = 352;
const KEY_WORDS: usize = 384;

// @ts-ignore: decorator
@inline
function box(index: usize, i: u32): u32 {
  return load<u32>(CAST_BOXES + (index << 10) + (((i >> (24 - (<u32>index << 3))) & 0xff) << 2));
}

/** The round functions (RFC 2612, 2.2). */
// @ts-ignore: decorator
@inline
function f1(d: u32, rotation: u32, mask: u32): u32 {
  const i = rotl<u32>(mask + d, rotation);
  return ((box(0, i) ^ box(1, i)) - box(2, i)) + box(3, i);
}

// @ts-ignore: decorator
@inline
function f2(d: u32, rotation: u32, mask: u32): u32 {
  const i = rotl<u32>(mask ^ d, rotation);
  return ((box(0, i) - box(1, i)) + box(2, i)) ^ box(3, i);
}

// @ts-ignore: decorator
@inline
function f3(d: u32, rotation: u32, mask: u32): u32 {
  const i = rotl<u32>(mask - d, rotation);
  return ((box(0, i) + box(1, i)) ^ box(2, i)) - box(3, i);
}

// @ts-ignore: decorator
@inline
function word(at: usize): u32 {
  return bswap<u32>(load<u32>(at));
}

/** All twelve quad-rounds; `quad` is the first one's keys and `step` leads to the next: forth or back. */
function turn(quad: usize, step: isize, source: usize, target: usize, bytes: usize): void {
  for (const end = source + bytes; source < end; source += 16, target += 16) {
    let a = word(source), b = word(source + 4), c = word(source + 8), d = word(source + 12);
    let k = quad;
    for (let i = 0; i < 6; i++, k += step) {
      c ^= f1(d, load<u32>(k), load<u32>(k, 16));
      b ^= f2(c, load<u32>(k, 4), load<u32>(k, 20));
      a ^= f3(b, load<u32>(k, 8), load<u32>(k, 24));
      d ^= f1(a, load<u32>(k, 12), load<u32>(k, 28));
    }
    for (let i = 0; i < 6; i++, k += step) {
      d ^= f1(a, load<u32>(k, 12), load<u32>(k, 28));
      a ^= f3(b, load<u32>(k, 8), load<u32>(k, 24));
      b ^= f2(c, load<u32>(k, 4), load<u32>(k, 20));
      c ^= f1(d, load<u32>(k), load<u32>(k, 16));
    }
    store<u32>(target, bswap<u32>(a));
    store<u32>(target, bswap<u32>(b), 4);
    store<u32>(target, bswap<u32>(c), 8);
    store<u32>(target, bswap<u32>(d), 12);
  }
}

export function cast6Encrypt(schedule: usize, source: usize, target: usize, bytes: usize): void {
  turn(schedule, QUAD_BYTES, source, target, bytes);
}

export function cast6Decrypt(schedule: usize, source: usize, target: usize, bytes: usize): void {
  turn(schedule + LAST_QUAD, -(<isize>QUAD_BYTES), source, target, bytes);
}

/** The schedule of a key of 16, 20, 24, 28 or 32 bytes (RFC 2612, 2.4); a short one ends in zeros. */
export function cast6SetKey(schedule: usize, key: usize, keyBytes: i32): void {
  const words = schedule + KEY_WORDS;
  memory.fill(words, 0, 32);
  memory.copy(words, key, keyBytes);
  for (let i: usize = 0; i < 8; i++) store<u32>(words + (i << 2), word(words + (i << 2)));
  let mask: u32 = 0x5a827999;
  let rotation: u32 = 19;
  for (let quad = schedule; quad < words; quad += QUAD_BYTES) {
    // Two forward octaves: word 6 takes f1 of word 7, word 5 takes f2 of word 6, … word 7 takes f2 of word 0.
    for (let i = 0; i < 16; i++) {
      const from = words + (((7 - i) & 7) << 2);
      const to = words + (((6 - i) & 7) << 2);
      const which = (i & 7) % 3;
      const d = load<u32>(from);
      const out = which == 0 ? f1(d, rotation, mask) : which == 1 ? f2(d, rotation, mask) : f3(d, rotation, mask);
      store<u32>(to, load<u32>(to) ^ out);
      mask += 0x6ed9eba1;
      rotation = (rotation + 17) & 31;
    }
    for (let i: usize = 0; i < 4; i++) {
      store<u32>(quad + (i << 2), load<u32>(words + (i << 3)) & 31);
      store<u32>(quad + 16 + (i << 2), load<u32>(words + ((7 - 2 * i) << 2)));
    }
  }
  memory.fill(words, 0, 32);
}
