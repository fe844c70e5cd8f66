/**
 * Rows of initialisation vectors that are plain functions of the sector number (dm-crypt's crypt_iv_*_ops). IV i
 * is of sector `first + i * step`, modulo 2^64; IVs are 8, 16 or 32 bytes.
 */

function zero(target: usize, bytes: i32): void {
  memory.fill(target, 0, bytes);
}

/** All zeros. */
export function fillNull(target: usize, count: i32, ivBytes: i32): void {
  zero(target, count * ivBytes);
}

/** Little-endian, zeros behind. */
export function fillPlain64(target: usize, count: i32, ivBytes: i32, first: u64, step: u64): void {
  zero(target, count * ivBytes);
  for (let i = 0; i < count; i++, target += ivBytes, first += step) store<u64>(target, first);
}

/** The same with only the low 32 bits of the sector number, which repeats every 2 TiB. */
export function fillPlain(target: usize, count: i32, ivBytes: i32, first: u64, step: u64): void {
  zero(target, count * ivBytes);
  for (let i = 0; i < count; i++, target += ivBytes, first += step) store<u64>(target, first & 0xffffffff);
}

/** Big-endian, zeros before. */
export function fillPlain64Be(target: usize, count: i32, ivBytes: i32, first: u64, step: u64): void {
  zero(target, count * ivBytes);
  for (let i = 0; i < count; i++, target += ivBytes, first += step) {
    store<u64>(target + ivBytes - 8, bswap<u64>(first));
  }
}
