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

/**
 * The end of decryption: `turned` is what CBC made of the one block before `source` and `source`, so its block i + 1 is
 * D(source[i]) ^ source[i - 1]. `target` is `source`, or does not overlap it, and may end at the block before.
 */
export function unchainBehind(target: usize, source: usize, turned: usize, lengthBytes: usize): void {
  let before = v128.load(source - 16);
  for (const end = target + lengthBytes; target < end; target += 16, source += 16, turned += 16) {
    const block = v128.load(source);
    v128.store(target, v128.xor(v128.load(turned, 16), before));
    before = block;
  }
}

// @ts-ignore: decorator
@inline
function finishBehind(data: usize, turned: usize, masks: usize, before: v128): void {
  const block = v128.xor(v128.load(turned, 16), before);
  v128.store(data, v128.xor(block, v128.load(masks)));
}

/** As `unchainBehind` in place, and XORs `masks` over it: a multiple of 64 bytes. */
export function unmaskBehind(data: usize, turned: usize, masks: usize, lengthBytes: i32): void {
  let before = v128.load(data - 16);
  for (const end = data + lengthBytes; data < end; data += 64, turned += 64, masks += 64) {
    const a = v128.load(data);
    const b = v128.load(data, 16);
    const c = v128.load(data, 32);
    const d = v128.load(data, 48);
    finishBehind(data, turned, masks, before);
    finishBehind(data + 16, turned + 16, masks + 16, a);
    finishBehind(data + 32, turned + 32, masks + 32, b);
    finishBehind(data + 48, turned + 48, masks + 48, c);
    before = d;
  }
}
