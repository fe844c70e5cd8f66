/**
 * The anti-forensic splitter: a key inflated to many stripes, all of which are needed to get it back
 * (LUKS1 on-disk format specification, section 2.4 "AF-Splitter"; TKS1). Knows no header and no cipher.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { requireHash } from './hash.js';

/** The stripe count of LUKS1, and of every LUKS2 keyslot in use. */
export const LUKS_STRIPES = 4000;

/** H1 of the spec: each hash-sized block becomes H(block number as u32 BE, block), the last one cut to fit. */
function diffuseInPlace(block: Buffer, hash: string, hashBytes: number): void {
  const counter = Buffer.alloc(4);
  for (let index = 0, offset = 0; offset < block.length; index += 1, offset += hashBytes) {
    const part = block.subarray(offset, offset + hashBytes);
    counter.writeUInt32BE(index);
    const digest = createHash(hash).update(counter).update(part).digest();
    part.set(digest.subarray(0, part.length));
    wipe(digest);
  }
}

function xorInPlace(target: Uint8Array, source: Uint8Array): void {
  for (let i = 0; i < target.length; i += 1) target[i]! ^= source[i]!;
}

function digestBytes(hash: string): number {
  return createHash(hash).digest().length;
}

/**
 * The key behind `material`.
 * @param material at least keySizeBytes × stripes; what follows is area padding and not looked at.
 * @returns a new Buffer of keySizeBytes, the caller's to wipe.
 */
export function afMerge(
  material: Uint8Array,
  keySizeBytes: number,
  stripes: number,
  hashSpec: string,
): Buffer {
  if (stripes < 1 || material.length < keySizeBytes * stripes) {
    throw new LuksError(
      'HEADER_CORRUPT',
      `key material of ${material.length} bytes is too short for ${stripes} stripes of ${keySizeBytes} bytes`,
    );
  }
  const hash = requireHash(hashSpec);
  const hashBytes = digestBytes(hash);
  const key = Buffer.alloc(keySizeBytes);
  const last = keySizeBytes * (stripes - 1);
  for (let offset = 0; offset < last; offset += keySizeBytes) {
    xorInPlace(key, material.subarray(offset, offset + keySizeBytes));
    diffuseInPlace(key, hash, hashBytes);
  }
  xorInPlace(key, material.subarray(last, last + keySizeBytes));
  return key;
}

/**
 * The inverse of `afMerge`: random stripes, and a last one that makes them merge to `key`.
 * @returns a new Buffer of key.length × stripes, the caller's to wipe.
 */
export function afSplit(key: Uint8Array, stripes: number, hashSpec: string): Buffer {
  const hash = requireHash(hashSpec);
  const hashBytes = digestBytes(hash);
  const material = Buffer.alloc(key.length * stripes);
  const last = key.length * (stripes - 1);
  randomFillSync(material, 0, last);
  const mixed = Buffer.alloc(key.length);
  for (let offset = 0; offset < last; offset += key.length) {
    xorInPlace(mixed, material.subarray(offset, offset + key.length));
    diffuseInPlace(mixed, hash, hashBytes);
  }
  xorInPlace(mixed, key);
  material.set(mixed, last);
  wipe(mixed);
  return material;
}
