/**
 * Twofish (B. Schneier et al., "Twofish: A 128-Bit Block Cipher", 1998) over any number of blocks; the schedule is
 * twofish-key.ts's. Table look-ups by secret bytes: as in every fast Twofish, timing is not constant.
 */
import { ROUND_KEYS } from './twofish-key.js';

export { twofishSetKey } from './twofish-key.js';

/** The function g (section 4.3): the S-boxes and the MDS matrix, by table. */
// @ts-ignore: decorator
@inline
function g(tables: usize, x: u32): u32 {
  return (
    load<u32>(tables + ((x & 0xff) << 2)) ^
    load<u32>(tables + (((x >> 8) & 0xff) << 2), 1024) ^
    load<u32>(tables + (((x >> 16) & 0xff) << 2), 2048) ^
    load<u32>(tables + ((x >> 24) << 2), 3072)
  );
}

export function twofishEncrypt(tables: usize, source: usize, target: usize, bytes: usize): void {
  const keys = tables + ROUND_KEYS;
  for (const end = source + bytes; source < end; source += 16, target += 16) {
    let a = load<u32>(source) ^ load<u32>(keys);
    let b = load<u32>(source, 4) ^ load<u32>(keys, 4);
    let c = load<u32>(source, 8) ^ load<u32>(keys, 8);
    let d = load<u32>(source, 12) ^ load<u32>(keys, 12);
    for (let k = keys + 32; k < keys + 160; k += 16) {
      let x = g(tables, a);
      let y = g(tables, rotl<u32>(b, 8));
      c = rotr<u32>(c ^ (x + y + load<u32>(k)), 1);
      d = rotl<u32>(d, 1) ^ (x + 2 * y + load<u32>(k, 4));
      x = g(tables, c);
      y = g(tables, rotl<u32>(d, 8));
      a = rotr<u32>(a ^ (x + y + load<u32>(k, 8)), 1);
      b = rotl<u32>(b, 1) ^ (x + 2 * y + load<u32>(k, 12));
    }
    store<u32>(target, c ^ load<u32>(keys, 16));
    store<u32>(target, d ^ load<u32>(keys, 20), 4);
    store<u32>(target, a ^ load<u32>(keys, 24), 8);
    store<u32>(target, b ^ load<u32>(keys, 28), 12);
  }
}

export function twofishDecrypt(tables: usize, source: usize, target: usize, bytes: usize): void {
  const keys = tables + ROUND_KEYS;
  for (const end = source + bytes; source < end; source += 16, target += 16) {
    let c = load<u32>(source) ^ load<u32>(keys, 16);
    let d = load<u32>(source, 4) ^ load<u32>(keys, 20);
    let a = load<u32>(source, 8) ^ load<u32>(keys, 24);
    let b = load<u32>(source, 12) ^ load<u32>(keys, 28);
    for (let k = keys + 144; k > keys + 16; k -= 16) {
      let x = g(tables, c);
      let y = g(tables, rotl<u32>(d, 8));
      a = rotl<u32>(a, 1) ^ (x + y + load<u32>(k, 8));
      b = rotr<u32>(b ^ (x + 2 * y + load<u32>(k, 12)), 1);
      x = g(tables, a);
      y = g(tables, rotl<u32>(b, 8));
      c = rotl<u32>(c, 1) ^ (x + y + load<u32>(k));
      d = rotr<u32>(d ^ (x + 2 * y + load<u32>(k, 4)), 1);
    }
    store<u32>(target, a ^ load<u32>(keys));
    store<u32>(target, b ^ load<u32>(keys, 4), 4);
    store<u32>(target, c ^ load<u32>(keys, 8), 8);
    store<u32>(target, d ^ load<u32>(keys, 12), 12);
  }
}
