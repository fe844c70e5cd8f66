/**
 * The polynomial hash of Poly1305 (RFC 8439, 2.5) without its final addition, in five limbs of 26 bits.
 */

/** r and h: ten limbs, eight bytes each. */
export const POLY1305_BYTES: usize = 80;
const MASK: u64 = 0x3ffffff;

// @ts-ignore: decorator
@inline
function storeLimbs(at: usize, low: u64, high: u64, top: u64): void {
  store<u64>(at, low & MASK);
  store<u64>(at, (low >> 26) & MASK, 8);
  store<u64>(at, ((low >> 52) | (high << 12)) & MASK, 16);
  store<u64>(at, (high >> 14) & MASK, 24);
  store<u64>(at, (high >> 40) | (top << 24), 32);
}

/** Takes the 16-byte key, clamped, and starts at zero. */
export function setPoly1305(state: usize, key: usize): void {
  storeLimbs(state, load<u64>(key) & 0x0ffffffc0fffffff, load<u64>(key, 8) & 0x0ffffffc0ffffffc, 0);
  memory.fill(state + 40, 0, 40);
}

export function restartPoly1305(state: usize): void {
  memory.fill(state + 40, 0, 40);
}

/** h = (h + block) * r: whole blocks of 16 bytes. */
export function addPoly1305(state: usize, data: usize, blocks: i32): void {
  const r0 = load<u64>(state), r1 = load<u64>(state, 8), r2 = load<u64>(state, 16);
  const r3 = load<u64>(state, 24), r4 = load<u64>(state, 32);
  let h0 = load<u64>(state, 40), h1 = load<u64>(state, 48), h2 = load<u64>(state, 56);
  let h3 = load<u64>(state, 64), h4 = load<u64>(state, 72);
  for (; blocks > 0; blocks--, data += 16) {
    const low = load<u64>(data), high = load<u64>(data, 8);
    h0 += low & MASK;
    h1 += (low >> 26) & MASK;
    h2 += ((low >> 52) | (high << 12)) & MASK;
    h3 += (high >> 14) & MASK;
    h4 += (high >> 40) | (1 << 24);
    let d0 = h0 * r0 + 5 * (h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1);
    let d1 = h0 * r1 + h1 * r0 + 5 * (h2 * r4 + h3 * r3 + h4 * r2);
    let d2 = h0 * r2 + h1 * r1 + h2 * r0 + 5 * (h3 * r4 + h4 * r3);
    let d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + 5 * (h4 * r4);
    let d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0;
    d1 += d0 >> 26;
    d2 += d1 >> 26;
    d3 += d2 >> 26;
    d4 += d3 >> 26;
    h0 = (d0 & MASK) + 5 * (d4 >> 26);
    h1 = (d1 & MASK) + (h0 >> 26);
    h0 &= MASK;
    h2 = d2 & MASK;
    h3 = d3 & MASK;
    h4 = d4 & MASK;
  }
  store<u64>(state, h0, 40);
  store<u64>(state, h1, 48);
  store<u64>(state, h2, 56);
  store<u64>(state, h3, 64);
  store<u64>(state, h4, 72);
}

/** h mod 2^130 - 5, its low 128 bits, into 16 bytes. */
export function emitPoly1305(state: usize, out: usize): void {
  let h0 = load<u64>(state, 40), h1 = load<u64>(state, 48), h2 = load<u64>(state, 56);
  let h3 = load<u64>(state, 64), h4 = load<u64>(state, 72);
  for (let twice = 0; twice < 2; twice++) {
    h1 += h0 >> 26; h0 &= MASK;
    h2 += h1 >> 26; h1 &= MASK;
    h3 += h2 >> 26; h2 &= MASK;
    h4 += h3 >> 26; h3 &= MASK;
    h0 += 5 * (h4 >> 26); h4 &= MASK;
  }
  h1 += h0 >> 26; h0 &= MASK;
  // Subtract the prime where h + 5 carries out of 130 bits.
  let carry = (h0 + 5) >> 26;
  carry = (h1 + carry) >> 26;
  carry = (h2 + carry) >> 26;
  carry = (h3 + carry) >> 26;
  carry = (h4 + carry) >> 26;
  h0 += 5 * carry;
  h1 += h0 >> 26; h0 &= MASK;
  h2 += h1 >> 26; h1 &= MASK;
  h3 += h2 >> 26; h2 &= MASK;
  h4 += h3 >> 26; h3 &= MASK;
  store<u64>(out, h0 | (h1 << 26) | (h2 << 52));
  store<u64>(out, (h2 >> 12) | (h3 << 14) | (h4 << 40), 8);
}
