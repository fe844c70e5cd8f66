/**
 * Takes out what CFB and CBC (NIST SP 800-38A, 6.2 and 6.3) leave of their chaining in a row of blocks that was decrypted
 * by them, so that the block cipher alone remains. Knows no cipher and no key. Blocks have 16 bytes.
 */

/**
 * The end of encryption: `turned` is what CFB made of `source` and the one block behind it, so its block i + 1 is
 * E(source[i]) ^ source[i + 1]. `target` is `source`, or does not overlap it, and may begin at the block behind.
 */
export function unchainAhead(target: usize, source: usize, turned: usize, lengthBytes: usize): void {
  const behind = v128.load(source + lengthBytes);
  const last = target + lengthBytes - 16;
  for (; target < last; target += 16, source += 16, turned += 16) {
    v128.store(target, v128.xor(v128.load(turned, 16), v128.load(source, 16)));
  }
  v128.store(target, v128.xor(v128.load(turned, 16), behind));
}

// @ts-ignore: decorator
@inline
function finishAhead(data: usize, turned: usize, masks: usize): void {
  const block = v128.xor(v128.load(turned, 16), v128.load(data, 16));
  v128.store(data, v128.xor(block, v128.load(masks)));
}

/** As `unchainAhead` in place, and XORs `masks` over it: a multiple of 64 bytes. */
export function unmaskAhead(data: usize, turned: usize, masks: usize, lengthBytes: i32): void {
  for (const end = data + lengthBytes; data < end; data += 64, turned += 64, masks += 64) {
    finishAhead(data, turned, masks);
    finishAhead(data + 16, turned + 16, masks + 16);
    finishAhead(data + 32, turned + 32, masks + 32);
    finishAhead(data + 48, turned + 48, masks + 48);
  }
}

// @ts-ignore: decorator
@inline
function finishBehind(target: usize, turned: usize, before: v128): void {
  v128.store(target, v128.xor(v128.load(turned), before));
}

/**
 * The end of decryption: `turned` is what one endless CBC made of `source`, so its block i is D(source[i]) ^ source[i - 1].
 * At `last` lies the block before source[0], and then the last one of `source`. `target` is `source`, or does not overlap it.
 */
export function unchainBehind(
  target: usize,
  source: usize,
  turned: usize,
  last: usize,
  lengthBytes: i32,
): void {
  let before = v128.load(last);
  for (const end = target + lengthBytes; target < end; target += 16, source += 16, turned += 16) {
    const block = v128.load(source);
    finishBehind(target, turned, before);
    before = block;
  }
  v128.store(last, before);
}

/** As `unchainBehind` in place, and XORs `masks` over it: a multiple of 64 bytes. */
export function unmaskBehind(data: usize, turned: usize, masks: usize, last: usize, lengthBytes: i32): void {
  let before = v128.load(last);
  for (const end = data + lengthBytes; data < end; data += 64, turned += 64, masks += 64) {
    const a = v128.load(data);
    const b = v128.load(data, 16);
    const c = v128.load(data, 32);
    const d = v128.load(data, 48);
    finishBehind(data, turned, v128.xor(before, v128.load(masks)));
    finishBehind(data + 16, turned + 16, v128.xor(a, v128.load(masks, 16)));
    finishBehind(data + 32, turned + 32, v128.xor(b, v128.load(masks, 32)));
    finishBehind(data + 48, turned + 48, v128.xor(c, v128.load(masks, 48)));
    before = d;
  }
  v128.store(last, before);
}
