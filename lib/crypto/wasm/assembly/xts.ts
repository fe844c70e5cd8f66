/**
 * The mask of XTS (IEEE 1619-2007, 5.3 and 5.4): every 16-byte block of a sector is XORed with the sector's
 * tweak times alpha^j, before and after the block cipher. Knows no cipher and no key.
 */

/** Times alpha in GF(2^128), little-endian, x^128 + x^7 + x^2 + x + 1 (IEEE 1619-2007, 5.2). */
// @ts-ignore: decorator
@inline
function timesAlpha(t: v128): v128 {
  const tops = i32x4.shr_s(v128.shuffle<i32>(t, t, 3, 0, 1, 0), 31);
  return v128.xor(i64x2.add(t, t), v128.and(tops, i32x4(0x87, 0, 1, 0)));
}

/** Times alpha^8: one byte up; the byte that falls out comes back times x^7 + x^2 + x + 1. */
// @ts-ignore: decorator
@inline
function timesAlpha8(t: v128): v128 {
  const zero = i64x2.splat(0);
  const up = v128.shuffle<i8>(zero, t, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
  const out = v128.shuffle<i64>(i64x2.shr_u(t, 56), zero, 1, 2);
  const folded = v128.xor(v128.xor(out, i64x2.shl(out, 1)), v128.xor(i64x2.shl(out, 2), i64x2.shl(out, 7)));
  return v128.xor(up, folded);
}

// @ts-ignore: decorator
@inline
function maskBlock(at: usize, mask: usize, t: v128): void {
  v128.store(mask, t);
  v128.store(at, v128.xor(v128.load(at), t));
}

/** Four sectors of 512 bytes side by side, since one chain alone would wait for its own doubling. */
function maskFourSectors(at: usize, mask: usize, tweaks: usize): void {
  let a = v128.load(tweaks);
  let b = v128.load(tweaks, 16);
  let c = v128.load(tweaks, 32);
  let d = v128.load(tweaks, 48);
  for (const stop = at + 512; at < stop; at += 16, mask += 16) {
    maskBlock(at, mask, a);
    maskBlock(at + 512, mask + 512, b);
    maskBlock(at + 1024, mask + 1024, c);
    maskBlock(at + 1536, mask + 1536, d);
    a = timesAlpha(a);
    b = timesAlpha(b);
    c = timesAlpha(c);
    d = timesAlpha(d);
  }
}

/** One sector, four chains of eight blocks of it side by side. */
function maskSector(at: usize, mask: usize, tweak: usize, sectorBytes: i32): void {
  let a = v128.load(tweak);
  const end = at + sectorBytes;
  while (at < end) {
    let b = timesAlpha8(a);
    let c = timesAlpha8(b);
    let d = timesAlpha8(c);
    for (const stop = at + 128; at < stop; at += 16, mask += 16) {
      maskBlock(at, mask, a);
      maskBlock(at + 128, mask + 128, b);
      maskBlock(at + 256, mask + 256, c);
      maskBlock(at + 384, mask + 384, d);
      a = timesAlpha(a);
      b = timesAlpha(b);
      c = timesAlpha(c);
      d = timesAlpha(d);
    }
    a = d;
    at += 384;
    mask += 384;
  }
}

/**
 * XORs the mask over `sectorCount` sectors at `data` and leaves it at `masks`, for `unmaskXts`. `tweaks` holds one
 * encrypted tweak a sector; the sector size is a multiple of 512 bytes.
 */
export function maskXts(data: usize, masks: usize, tweaks: usize, sectorCount: i32, sectorBytes: i32): void {
  if (sectorBytes == 512) {
    for (; sectorCount >= 4; sectorCount -= 4) {
      maskFourSectors(data, masks, tweaks);
      data += 2048;
      masks += 2048;
      tweaks += 64;
    }
  }
  for (; sectorCount > 0; sectorCount--) {
    maskSector(data, masks, tweaks, sectorBytes);
    data += sectorBytes;
    masks += sectorBytes;
    tweaks += 16;
  }
}

/** XORs once more what `maskXts` left at `masks`: a multiple of 512 bytes. */
export function unmaskXts(data: usize, masks: usize, lengthBytes: i32): void {
  for (const end = data + lengthBytes; data < end; data += 64, masks += 64) {
    v128.store(data, v128.xor(v128.load(data), v128.load(masks)));
    v128.store(data, v128.xor(v128.load(data, 16), v128.load(masks, 16)), 16);
    v128.store(data, v128.xor(v128.load(data, 32), v128.load(masks, 32)), 32);
    v128.store(data, v128.xor(v128.load(data, 48), v128.load(masks, 48)), 48);
  }
}
