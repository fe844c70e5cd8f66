import t from 'tap';
import { availableMemoryKiB } from '../../../lib/crypto/free-memory.js';
import {
  type Argon2,
  DEFAULT_KDF_LIMITS,
  deriveKey,
  NO_KDF_LIMITS,
  type Pbkdf2,
  requireKdfWithin,
} from '../../../lib/crypto/kdf.js';

function pbkdf2(hash: string, iterations: number, salt: string): Pbkdf2 {
  return { type: 'pbkdf2', hash, iterations, salt: Buffer.from(salt, 'latin1') };
}

function argon2(type: Argon2['type'], time: number, memoryKiB: number, cpus: number): Argon2 {
  return { type, time, memoryKiB, cpus, salt: Buffer.from('somesalt') };
}

async function hex(kdf: Pbkdf2 | Argon2, passphrase: string, sizeBytes: number): Promise<string> {
  return (await deriveKey(kdf, Buffer.from(passphrase, 'latin1'), sizeBytes)).toString('hex');
}

t.test('PBKDF2-HMAC-SHA1, RFC 6070 section 2', async (t) => {
  const vectors: [string, string, number, number, string][] = [
    ['password', 'salt', 1, 20, '0c60c80f961f0e71f3a9b524af6012062fe037a6'],
    ['password', 'salt', 2, 20, 'ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957'],
    ['password', 'salt', 4096, 20, '4b007901b765489abead49d926f721d065a429c1'],
    ['pass\0word', 'sa\0lt', 4096, 16, '56fa6aa75548099dcc37d7f03425e0c3'],
  ];
  for (const [passphrase, salt, iterations, sizeBytes, key] of vectors) {
    t.equal(await hex(pbkdf2('sha1', iterations, salt), passphrase, sizeBytes), key);
  }
});

t.test('PBKDF2-HMAC-SHA256, RFC 7914 section 11', async (t) => {
  t.equal(
    await hex(pbkdf2('sha256', 80000, 'NaCl'), 'Password', 64),
    '4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56' +
      'a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d',
  );
});

// RFC 9106's own vectors have a secret and associated data, which LUKS does not use. These are from src/test.c
// of the reference implementation (github.com/P-H-C/phc-winner-argon2, CC0), version 0x13, salt "somesalt".
t.test('argon2i and argon2id, the reference implementation', async (t) => {
  const vectors: [Argon2, string][] = [
    [argon2('argon2i', 2, 65536, 1), 'c1628832147d9720c5bd1cfd61367078729f6dfb6f8fea9ff98158e0d7816ed0'],
    [argon2('argon2i', 2, 256, 2), '4ff5ce2769a1d7f4c8a491df09d41a9fbe90e5eb02155a13e4c01e20cd4eab61'],
    [argon2('argon2id', 2, 65536, 1), '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'],
    [argon2('argon2id', 2, 256, 2), '6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037'],
  ];
  for (const [kdf, key] of vectors) t.equal(await hex(kdf, 'password', 32), key);
});

t.test('bytes that are no text are hashed as they are', async (t) => {
  const kdf = argon2('argon2id', 1, 32, 1);
  const keys = await Promise.all(
    ['a\0b', 'a\0c', 'a', '\xff\xfe', '\xff\xfd', ''].map((p) => hex(kdf, p, 16)),
  );
  t.equal(new Set(keys).size, keys.length);
});

t.test('costs beyond the limits are refused before anything is computed', async (t) => {
  const dear = [
    pbkdf2('sha256', 2 ** 31 - 1, 'salt'),
    argon2('argon2id', 4, DEFAULT_KDF_LIMITS.argon2MemoryKiB + 1, 4),
    argon2('argon2id', 2 ** 32 - 1, 1024, 4),
  ];
  for (const kdf of dear) {
    await t.rejects(deriveKey(kdf, Buffer.from('x'), 32), {
      code: 'UNSUPPORTED',
      message: /--force-kdf-limits/,
    });
  }
  await t.rejects(deriveKey(pbkdf2('sha256', 1_000_000, 'salt'), Buffer.from('x'), 32 * 501), {
    code: 'UNSUPPORTED',
    message: /1000000 iterations for a key of/,
  });
  t.doesNotThrow(() => requireKdfWithin(dear[0]!, NO_KDF_LIMITS, 32));
  t.throws(() => requireKdfWithin(pbkdf2('sha256', 2 ** 32 - 1, 'salt'), NO_KDF_LIMITS, 32), {
    code: 'UNSUPPORTED',
  });
});

t.test('memory that is not there is its own error', async (t) => {
  const kdf = argon2('argon2id', 1, availableMemoryKiB() * 2, 1);
  t.throws(() => requireKdfWithin(kdf, NO_KDF_LIMITS, 32), { code: 'NO_MEMORY' });
});

t.test('parameters that argon2 does not take are an error of the header', async (t) => {
  await t.rejects(deriveKey(argon2('argon2id', 1, 8, 4), Buffer.from('x'), 32), { code: 'HEADER_CORRUPT' });
});
