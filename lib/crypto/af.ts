/**
 * The anti-forensic splitter: a key inflated to many stripes, all of which are needed to get it back
 * (LUKS1 on-disk format specification, section 2.4 "AF-Splitter"; TKS1). Knows no header and no cipher.
 */
import { randomFillSync } from 'node:crypto';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { hashSizeBytes } from './hash.js';
import { HashedMessage } from './hashed-message.js';

/** The stripe count of LUKS1, and of every LUKS2 keyslot in use. */
export const LUKS_STRIPES = 4000;

const COUNTER_BYTES = 4;

/** H1 of the spec: each hash-sized block of `key` becomes H(block number as u32 BE, block), the last one cut to fit. */
class Diffusion {
  readonly #blocks: { block: Buffer; numbered: HashedMessage; digest: Buffer }[] = [];

  constructor(key: Buffer, hashSpec: string) {
    const hashBytes = hashSizeBytes(hashSpec);
    for (let offset = 0; offset < key.length; offset += hashBytes) {
      const block = key.subarray(offset, offset + hashBytes);
      const numbered = new HashedMessage(hashSpec, COUNTER_BYTES + block.length);
      numbered.bytes.writeUInt32BE(this.#blocks.length);
      this.#blocks.push({ block, numbered, digest: numbered.digest.subarray(0, block.length) });
    }
  }

  /** Diffuses the key as it is now, where it lies. */
  apply(): void {
    for (const { block, numbered, digest } of this.#blocks) {
      numbered.bytes.set(block, COUNTER_BYTES);
      numbered.hash();
      block.set(digest);
    }
  }

  destroy(): void {
    for (const { numbered } of this.#blocks) numbered.destroy();
  }
}

function xorInPlace(target: Uint8Array, source: Uint8Array): void {
  for (let i = 0; i < target.length; i += 1) target[i]! ^= source[i]!;
}

/** All stripes of `material` but the last, XORed and diffused one after the other: a new Buffer, the caller's to wipe. */
function mixStripes(material: Uint8Array, keySizeBytes: number, stripes: number, hashSpec: string): Buffer {
  const mixed = Buffer.alloc(keySizeBytes);
  const diffusion = new Diffusion(mixed, hashSpec);
  try {
    for (let offset = 0; offset < keySizeBytes * (stripes - 1); offset += keySizeBytes) {
      xorInPlace(mixed, material.subarray(offset, offset + keySizeBytes));
      diffusion.apply();
    }
  } finally {
    diffusion.destroy();
  }
  return mixed;
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
  const key = mixStripes(material, keySizeBytes, stripes, hashSpec);
  const last = keySizeBytes * (stripes - 1);
  xorInPlace(key, material.subarray(last, last + keySizeBytes));
  return key;
}

/**
 * The inverse of `afMerge`: random stripes, and a last one that makes them merge to `key`.
 * @returns a new Buffer of key.length × stripes, the caller's to wipe.
 */
export function afSplit(key: Uint8Array, stripes: number, hashSpec: string): Buffer {
  const material = Buffer.alloc(key.length * stripes);
  const last = key.length * (stripes - 1);
  randomFillSync(material, 0, last);
  const mixed = mixStripes(material, key.length, stripes, hashSpec);
  xorInPlace(mixed, key);
  material.set(mixed, last);
  wipe(mixed);
  return material;
}
