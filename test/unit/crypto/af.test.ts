import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { afMerge, afSplit } from '../../../lib/crypto/af.js';

const HASHES = ['sha1', 'sha256', 'sha512', 'blake2b-512'];

t.test('merge undoes split, for every key size, stripe count and hash', async () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 130 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(...HASHES),
      (key, stripes, hash) => {
        const material = afSplit(key, stripes, hash);
        return (
          material.length === key.length * stripes &&
          afMerge(material, key.length, stripes, hash).equals(Buffer.from(key))
        );
      },
    ),
  );
});

t.test('two stripes, worked out by the formulas of the LUKS1 specification', async (t) => {
  // s1 and s2 as they lie in the area; key = H1(s1) xor s2, H1 = H(0 || first 32) || H(1 || last 8) cut to 8.
  const s1 = Buffer.from(Array.from({ length: 40 }, (_, i) => i));
  const s2 = Buffer.alloc(40, 0x5a);
  const h = (n: number, part: Buffer) =>
    createHash('sha256')
      .update(Buffer.from([0, 0, 0, n]))
      .update(part)
      .digest();
  const mixed = Buffer.concat([h(0, s1.subarray(0, 32)), h(1, s1.subarray(32)).subarray(0, 8)]);
  const expected = Buffer.from(mixed.map((byte) => byte ^ 0x5a));
  t.strictSame(afMerge(Buffer.concat([s1, s2]), 40, 2, 'sha256'), expected);
});

t.test('one changed bit anywhere gives another key', async (t) => {
  const key = Buffer.alloc(32, 7);
  const material = afSplit(key, 50, 'sha256');
  for (const at of [0, 31, 800, material.length - 1]) {
    const changed = Buffer.from(material);
    changed[at]! ^= 1;
    t.notSame(afMerge(changed, 32, 50, 'sha256'), key);
  }
});

t.test('too little material is refused, padding behind it is not looked at', async (t) => {
  const material = afSplit(Buffer.alloc(16, 1), 4, 'sha1');
  t.throws(() => afMerge(material.subarray(1), 16, 4, 'sha1'), { code: 'HEADER_CORRUPT' });
  t.throws(() => afMerge(material, 16, 0, 'sha1'), { code: 'HEADER_CORRUPT' });
  t.strictSame(afMerge(Buffer.concat([material, Buffer.alloc(9)]), 16, 4, 'sha1'), Buffer.alloc(16, 1));
});
