/**
 * The mask of LRW (IEEE P1619/D1 to D5, "LRW-AES"): every block is XORed with the tweak key times the block's
 * number in GF(2^128), big-endian, x^128 + x^7 + x^2 + x + 1, before and after the block cipher.
 *
 * Two tables of 128 products come from the tweak key: by 2^j, to multiply by any number, and by 2^(k+1) - 1, which
 * is what changes from one number to the next where the lower has k ones at its end.
 */

const TABLE_BYTES: usize = 128 * 16;

/** Fills both tables from the 16-byte tweak key: 4096 bytes at `tables`. */
export function setLrwKey(tables: usize, tweakKey: usize): void {
  let high = bswap<u64>(load<u64>(tweakKey));
  let low = bswap<u64>(load<u64>(tweakKey, 8));
  let sum = i64x2.splat(0);
  for (let j: usize = 0; j < 128; j++) {
    const power = tables + (j << 4);
    store<u64>(power, bswap<u64>(high));
    store<u64>(power, bswap<u64>(low), 8);
    sum = v128.xor(sum, v128.load(power));
    v128.store(power + TABLE_BYTES, sum);
    const carry: u64 = (high >> 63) * 0x87;
    high = (high << 1) | (low >> 63);
    low = (low << 1) ^ carry;
  }
}

/** XORs the mask over `sectorCount` sectors; the IVs are the numbers of their first blocks. */
export function maskLrw(data: usize, ivs: usize, tables: usize, sectorCount: i32, sectorBytes: i32): void {
  const steps = tables + TABLE_BYTES;
  for (let sector = 0; sector < sectorCount; sector++, ivs += 16) {
    let high = bswap<u64>(load<u64>(ivs));
    let low = bswap<u64>(load<u64>(ivs, 8));
    let tweak = i64x2.splat(0);
    for (let rest = low; rest != 0; rest &= rest - 1) {
      tweak = v128.xor(tweak, v128.load(tables + (<usize>ctz<u64>(rest) << 4)));
    }
    for (let rest = high; rest != 0; rest &= rest - 1) {
      tweak = v128.xor(tweak, v128.load(tables + ((64 + <usize>ctz<u64>(rest)) << 4)));
    }
    for (const end = data + sectorBytes; data < end; data += 16) {
      v128.store(data, v128.xor(v128.load(data), tweak));
      // The number 2^128 - 1 has no successor here: the count wraps to 0, whose tweak is 0.
      const ones: usize = low != u64.MAX_VALUE ? <usize>ctz<u64>(~low) : 64 + <usize>ctz<u64>(~high);
      tweak = ones < 128 ? v128.xor(tweak, v128.load(steps + (ones << 4))) : i64x2.splat(0);
      low++;
      if (low == 0) high++;
    }
  }
}
