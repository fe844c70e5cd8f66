/**
 * Twofish's key schedule ("Twofish: A 128-Bit Block Cipher", section 4.3, with "full keying" of 7.1): the
 * key-dependent S-boxes go together with the MDS matrix into four tables of 256 words.
 *
 * A schedule is 4864 bytes: the tables, 40 round keys, and what the set-up alone needs, wiped at its end.
 */

export const ROUND_KEYS: usize = 4096;
/** The permutations q0 and q1, 256 bytes each. */
const Q: usize = 4256;
/** Three lists of up to four words for the function h: of the even and the odd words of the key, and of the S-boxes. */
const EVEN: usize = 4768;
const ODD: usize = 4784;
const BOXES: usize = 4800;
const SCHEDULE_BYTES: usize = 4864;

const RHO: u32 = 0x01010101;
const MDS_POLYNOMIAL: u32 = 0x169;
const RS_POLYNOMIAL: u32 = 0x14d;

/** The 4-bit permutations t0 to t3 of q0, then of q1 (section 4.3.5), the output for n in the n-th nibble. */
function permutation(index: i32): u64 {
  switch (index) {
    case 0: return 0x4ace95b0_23f6d718;
    case 1: return 0xd9076a4f_53218bce;
    case 2: return 0x17423f8c_09d6e5ab;
    case 3: return 0xac5803b9_e6214f7d;
    case 4: return 0x5ca04913_e67fdb82;
    case 5: return 0x809f5ad6_73c4b2e1;
    case 6: return 0xf3b28de0_a96157c4;
    default: return 0xa802f746_ed3c159b;
  }
}

/** A row of the RS matrix (section 4.3.1), its first element in the lowest byte. */
function rsRow(row: i32): u64 {
  switch (row) {
    case 0: return 0x9edb585a_8755a401;
    case 1: return 0xe568c61e_f38256a4;
    case 2: return 0x193dae47_c1fca102;
    default: return 0x039edb58_5a8755a4;
  }
}

/** What one input byte of the MDS matrix adds to the word (section 4.3.2): a column, its top row lowest. */
function mdsColumn(column: i32): u32 {
  switch (column) {
    case 0: return 0xefef5b01;
    case 1: return 0x015befef;
    case 2: return 0xef01ef5b;
    default: return 0x5bef015b;
  }
}

function substitute(index: i32, nibble: u32): u32 {
  return <u32>(permutation(index) >> (nibble << 2)) & 15;
}

/** q0 or q1 of one byte, from its 4-bit permutations. */
function permute(which: i32, x: u32): u32 {
  let a = x >> 4;
  let b = x & 15;
  for (let half = 0; half < 4; half += 2) {
    const sum = a ^ b;
    const other = a ^ ((b >> 1) | ((b & 1) << 3)) ^ ((a << 3) & 15);
    a = substitute((which << 2) + half, sum);
    b = substitute((which << 2) + half + 1, other);
  }
  return (b << 4) | a;
}

function multiply(a: u32, b: u32, polynomial: u32): u32 {
  let product: u32 = 0;
  for (; b != 0; b >>= 1) {
    if (b & 1) product ^= a;
    a <<= 1;
    if (a & 0x100) a ^= polynomial;
  }
  return product;
}

/** The column of the MDS matrix times one byte. */
function mds(column: i32, y: u32): u32 {
  let word: u32 = 0;
  for (let row = 0; row < 4; row++) {
    word |= multiply((mdsColumn(column) >> (row << 3)) & 0xff, y, MDS_POLYNOMIAL) << (row << 3);
  }
  return word;
}

/**
 * One byte through the column of the function h (section 4.3.2, figure 2). Which q a stage takes at which byte is
 * one bit of `order`, the last stage lowest.
 */
function boxByte(schedule: usize, list: usize, words: i32, column: i32, x: u32): u32 {
  const order: u32 = column == 0 ? 0b11001 : column == 1 ? 0b01100 : column == 2 ? 0b00011 : 0b10110;
  let y = x;
  for (let stage = words; stage > 0; stage--) {
    y = load<u8>(schedule + Q + (((order >> stage) & 1) << 8) + y) ^ load<u8>(list + ((stage - 1) << 2) + column);
  }
  return load<u8>(schedule + Q + ((order & 1) << 8) + y);
}

function h(schedule: usize, list: usize, words: i32, x: u32): u32 {
  let word: u32 = 0;
  for (let column = 0; column < 4; column++) {
    word ^= mds(column, boxByte(schedule, schedule + list, words, column, (x >> (column << 3)) & 0xff));
  }
  return word;
}

/** The key as the lists of `h`: even words, odd words, and the RS code of each eight bytes, last first. */
function setLists(schedule: usize, key: usize, words: i32): void {
  for (let i = 0; i < words; i++) {
    store<u32>(schedule + EVEN + (i << 2), load<u32>(key + (i << 3)));
    store<u32>(schedule + ODD + (i << 2), load<u32>(key + (i << 3), 4));
    for (let row = 0; row < 4; row++) {
      let sum: u32 = 0;
      for (let n = 0; n < 8; n++) {
        sum ^= multiply(<u32>(rsRow(row) >> (n << 3)) & 0xff, load<u8>(key + (i << 3) + n), RS_POLYNOMIAL);
      }
      store<u8>(schedule + BOXES + ((words - 1 - i) << 2) + row, sum);
    }
  }
}

/** The schedule of a key of 16, 24 or 32 bytes: 4864 bytes at `schedule`. */
export function twofishSetKey(schedule: usize, key: usize, keyBytes: i32): void {
  const words = keyBytes >> 3;
  for (let x = 0; x < 256; x++) {
    store<u8>(schedule + Q + x, permute(0, x));
    store<u8>(schedule + Q + 256 + x, permute(1, x));
  }
  setLists(schedule, key, words);
  for (let column = 0; column < 4; column++) {
    for (let x = 0; x < 256; x++) {
      const y = boxByte(schedule, schedule + BOXES, words, column, x);
      store<u32>(schedule + (((column << 8) + x) << 2), mds(column, y));
    }
  }
  for (let i: u32 = 0; i < 20; i++) {
    const a = h(schedule, EVEN, words, 2 * i * RHO);
    const b = rotl<u32>(h(schedule, ODD, words, (2 * i + 1) * RHO), 8);
    store<u32>(schedule + ROUND_KEYS + (i << 3), a + b);
    store<u32>(schedule + ROUND_KEYS + (i << 3) + 4, rotl<u32>(a + 2 * b, 9));
  }
  memory.fill(schedule + Q, 0, SCHEDULE_BYTES - Q);
}
