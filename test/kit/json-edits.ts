/**
 * LUKS2 images whose JSON was changed at any place to what somebody who means harm would put there, checksums right.
 */
import fc from 'fast-check';
import { hdrSizeOf, type LooseJson, putJsonText, readJson } from './luks2-image.js';

/** Every place in the JSON, as the object and the key in it. */
export function places(json: LooseJson): [LooseJson, string][] {
  if (typeof json !== 'object' || json === null) return [];
  return Object.keys(json).flatMap((key) => [[json, key] as [LooseJson, string], ...places(json[key])]);
}

const NUMBERS = [-1, 0, 1, 511, 512, 4000, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 53, 1e300, 0.5];
const WORDS = [
  ...['', '0', '-1', '00', '512', '4096', '32768', '131072', '18446744073709551615', '18446744073709551616'],
  ...[
    'dynamic',
    'crypt',
    'linear',
    'luks2',
    'reencrypt',
    'encrypt',
    'decrypt',
    'forward',
    'backward',
    'checksum',
    'journal',
    'in-reencryption',
    'backup-previous',
    'backup-final',
    'raw',
    'none',
    'argon2id',
    'argon2i',
    'pbkdf2',
    'luks1',
  ],
  ...[
    'sha1',
    'sha512',
    'whirlpool',
    'aes-xts-plain64',
    'aes-cbc-essiv:sha256',
    'cipher_null-ecb',
    'capi:xts(aes)-plain64',
  ],
  ...[
    'serpent-xts-plain64',
    'aes-lrw-benbi',
    'aegis128-random',
    '__proto__',
    'constructor',
    '\u0000',
    'AAAA',
    '='.repeat(100),
  ],
];

/** A LUKS2 image with some members of its JSON changed, removed, copied or renamed. */
export function structured(image: Buffer): fc.Arbitrary<Buffer> {
  const value = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<LooseJson>(...NUMBERS) },
    { weight: 4, arbitrary: fc.constantFrom<LooseJson>(...WORDS) },
    { weight: 1, arbitrary: fc.jsonValue() },
    { weight: 1, arbitrary: fc.constantFrom<LooseJson>([], {}, [[]], ['0'], ['0', '0'], ['31'], null, true) },
  );
  const action = fc.constantFrom('set', 'set', 'set', 'remove', 'copy', 'rename');
  const edits = fc.array(fc.record({ at: fc.nat(), other: fc.nat(), action, value }), {
    minLength: 1,
    maxLength: 4,
  });
  return edits.map((list) => {
    const json = readJson(image);
    for (const { at, other, action: what, value: replacement } of list) {
      const all = places(json);
      const [parent, key] = all[at % all.length]!;
      const [otherParent, otherKey] = all[other % all.length]!;
      if (what === 'set') parent[key] = structuredClone(replacement);
      if (what === 'remove') delete parent[key];
      if (what === 'copy') parent[key] = structuredClone(otherParent[otherKey]);
      if (what === 'rename') parent[String(other % 40)] = structuredClone(parent[key]);
    }
    return withText(image, Buffer.from(JSON.stringify(json)));
  });
}

/** The image with this text as the JSON of both copies, cut where it does not fit. */
export function withText(image: Buffer, text: Buffer): Buffer {
  const changed = Buffer.from(image);
  const fitting = text.subarray(0, hdrSizeOf(image) - 4097);
  for (const offsetBytes of [0, hdrSizeOf(image)]) putJsonText(changed, fitting, offsetBytes);
  return changed;
}
