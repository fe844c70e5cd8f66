/**
 * Counter mode (NIST SP 800-38A, 6.5): the counters of many sectors, and the XOR of what became of them.
 */

/** The counter blocks of each sector: its IV, plus one big-endian for each block. Blocks of 8 or 16 bytes. */
export function fillCounters(
  target: usize,
  ivs: usize,
  sectorCount: i32,
  sectorBytes: i32,
  blockBytes: i32,
): void {
  for (let sector = 0; sector < sectorCount; sector++, ivs += blockBytes) {
    let high = bswap<u64>(load<u64>(ivs));
    let low = blockBytes == 16 ? bswap<u64>(load<u64>(ivs, 8)) : high;
    for (const end = target + sectorBytes; target < end; target += blockBytes) {
      if (blockBytes == 16) {
        store<u64>(target, bswap<u64>(high));
        store<u64>(target, bswap<u64>(low), 8);
      } else {
        store<u64>(target, bswap<u64>(low));
      }
      low++;
      if (low == 0) high++;
    }
  }
}

/** `target` ^= `mask`; a multiple of 16 bytes. */
export function xorBytes(target: usize, mask: usize, bytes: i32): void {
  for (const end = target + bytes; target < end; target += 16, mask += 16) {
    v128.store(target, v128.xor(v128.load(target), v128.load(mask)));
  }
}
