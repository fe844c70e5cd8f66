/**
 * What else comes from outside: key material, secret objects, base64, names of ciphers, options of mount(8).
 */
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parseMountOptions } from '../../lib/cli/mount-options.js';
import { parseSecretOption } from '../../lib/cli/secret-option.js';
import { afMerge, afSplit } from '../../lib/crypto/af.js';
import { parseCipherSpec } from '../../lib/crypto/cipher-spec.js';
import { createSectorCipher } from '../../lib/crypto/sector-cipher.js';
import { LuksError } from '../../lib/errors.js';
import { parseJsonObject } from '../../lib/format/json.js';
import { decodeBase64 } from '../../lib/keysource/base64.js';
import { readKeySource } from '../../lib/keysource/source.js';
import { fuzz, mutated } from '../kit/fuzz.js';
import { makeTempDir } from '../kit/temp.js';

const PARTS = [
  ...[
    'aes',
    'serpent',
    'twofish',
    'cast5',
    'xchacha12,aes',
    'cipher_null',
    'capi:',
    'xts(aes)',
    'cbc(',
    ')',
    '-',
    ':',
  ],
  ...[
    'xts',
    'cbc',
    'lrw',
    'ecb',
    'ctr',
    'adiantum',
    'hctr2',
    'plain',
    'plain64',
    'plain64be',
    'essiv',
    'benbi',
    'null',
  ],
  ...[
    'eboiv',
    'sha256',
    'whirlpool',
    'random',
    '__proto__',
    'toString',
    ' ',
    '\u0000',
    '😀',
    'a'.repeat(200),
  ],
];
const specs = fc
  .array(fc.oneof(fc.constantFrom(...PARTS), fc.constantFrom('-'), fc.string({ maxLength: 4 })), {
    maxLength: 9,
  })
  .map((parts) => parts.join(''));

t.test('names of ciphers, with keys and sectors of any size', async (t) => {
  const sizes = fc.tuple(
    fc.constantFrom(0, 1, 16, 24, 32, 48, 64, 65, 128),
    fc.constantFrom(0, 1, 512, 513, 4096, 8192),
  );
  await fuzz(t, fc.tuple(specs, sizes), ([spec, [keyBytes, sectorBytes]]) => {
    parseCipherSpec(spec);
    const cipher = createSectorCipher(spec, Buffer.alloc(keyBytes, 7), sectorBytes);
    try {
      const data = Buffer.alloc(2 * sectorBytes, 1);
      cipher.encryptInPlace(data, 2n ** 64n - 1n);
      cipher.decryptInPlace(data, 2n ** 64n - 1n);
      if (!data.every((byte) => byte === 1)) throw new Error(`${spec} does not undo what it does`);
    } finally {
      cipher.destroy();
    }
  });
});

t.test('key material', async (t) => {
  const hash = fc.constantFrom(
    'sha1',
    'sha256',
    'sha512',
    'ripemd160',
    'whirlpool',
    'md4',
    '',
    '__proto__',
    'x'.repeat(99),
  );
  const count = fc.constantFrom(-1, 0, 1, 2, 15, 64, 4000);
  await fuzz(
    t,
    fc.tuple(hash, count, count, fc.uint8Array({ maxLength: 300 })),
    ([name, keyBytes, stripes, bytes]) => {
      if (keyBytes < 0) return; // no header says so: a size is a whole number
      afMerge(bytes, keyBytes, stripes, name);
    },
  );
  await fuzz(
    t,
    fc.tuple(hash, fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.integer({ min: 1, max: 50 })),
    ([name, key, stripes]) => {
      const merged = afMerge(afSplit(key, stripes, name), key.length, stripes, name);
      if (!merged.equals(key)) throw new Error('another key comes back');
    },
  );
});

t.test('options of mount(8) and secret objects', async (t) => {
  const words = [
    'file=',
    'keyring=',
    'data=',
    'format=',
    'raw',
    'base64',
    'keyid=',
    'iv=',
    'id=',
    ',',
    ',,',
    '=',
    'ro',
    'rw',
  ];
  const more = [
    'header=',
    'key_file=',
    'uid=',
    'x-systemd.',
    'allow_other',
    '\\',
    '"',
    '__proto__',
    '\u0000',
    '9'.repeat(40),
  ];
  const text = fc
    .array(fc.oneof(fc.constantFrom(...words, ...more), fc.string({ maxLength: 5 })), { maxLength: 12 })
    .map((parts) => parts.join(''));
  const parse = (work: (text: string) => unknown) => (value: string) => {
    try {
      work(value);
    } catch (error) {
      // How commander wants to be told of a bad value.
      if ((error as { code?: string }).code !== 'commander.invalidArgument') throw error;
    }
  };
  await fuzz(t, text, parse(parseMountOptions));
  await fuzz(t, text, parse(parseSecretOption));
});

t.test('base64 and JSON', async (t) => {
  const sample = Buffer.from(`${Buffer.from('key material of no meaning').toString('base64')}\n`);
  await fuzz(t, fc.oneof(mutated(sample, fc.nat({ max: sample.length })), fc.uint8Array()), (bytes) => {
    decodeBase64(bytes);
  });
  const json = Buffer.from('{"a":{"b":["c",1,null,true],"d":"\\u0041"}}');
  await fuzz(t, fc.oneof(mutated(json, fc.nat({ max: json.length })), fc.uint8Array()), (bytes) => {
    try {
      parseJsonObject(bytes);
    } catch (error) {
      if ((error as Error).constructor.name !== 'JsonAreaError') throw error;
      throw new LuksError('HEADER_CORRUPT', (error as Error).message, { cause: error });
    }
  });
});

t.test('files of secret objects', async (t) => {
  const dir = makeTempDir(t);
  const [file, master] = [path.join(dir, 'secret'), path.join(dir, 'master')];
  const format = fc.constantFrom('raw' as const, 'base64' as const);
  const iv = fc.oneof(fc.constant(Buffer.alloc(16).toString('base64')), fc.string());
  const cases = fc.tuple(
    fc.uint8Array({ maxLength: 100 }),
    fc.uint8Array({ maxLength: 40 }),
    format,
    format,
    iv,
  );
  await fuzz(t, cases, async ([bytes, key, one, other, ivBase64]) => {
    fs.writeFileSync(file, bytes);
    fs.writeFileSync(master, key);
    const secrets = [
      { id: 'master', from: { file: master }, format: one },
      { from: { file }, format: other, encryption: { keyId: 'master', ivBase64 } },
    ];
    await readKeySource({ secrets }, 'volume');
    await readKeySource({ secrets: secrets.slice(1) }, 'volume');
  });
});
