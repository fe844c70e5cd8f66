import { createHash, pbkdf2Sync } from 'node:crypto';
import t from 'tap';
import {
  checkNewHash,
  findHash,
  hashSizeBytes,
  requireHash,
  supportedHashes,
} from '../../../lib/crypto/hash.js';

t.test('LUKS names become those of OpenSSL', async (t) => {
  t.equal(requireHash('sha256'), 'sha256');
  t.equal(requireHash('SHA512'), 'sha512', 'headers of some tools are in upper case');
  t.equal(requireHash('blake2b-512'), 'blake2b512');
  t.equal(requireHash('blake2s-256'), 'blake2s256');
  t.equal(requireHash('sha3-256'), 'sha3-256');
});

t.test('each supported hash has its size', async (t) => {
  const sizes = Object.fromEntries(supportedHashes().map((name) => [name, hashSizeBytes(name)]));
  t.match(sizes, { sha1: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64, ripemd160: 20, sm3: 32 });
  t.match(sizes, { 'sha3-224': 28, 'sha3-512': 64, 'blake2b-512': 64, 'blake2s-256': 32 });
});

t.test('Whirlpool comes from the legacy provider, for PBKDF2 as well', async (t) => {
  // ISO/IEC 10118-3:2004, Whirlpool of the empty message.
  const digest = createHash(requireHash('whirlpool')).update('').digest('hex');
  t.match(digest, /^19fa61d75522a4669b44e39c1d2e1726c530232130d407f89afee0964997f7a7/);
  t.equal(pbkdf2Sync('passphrase', 'salt', 2, 64, requireHash('whirlpool')).length, 64);
  t.ok(supportedHashes().includes('whirlpool'));
});

t.test("md5 and the kernel's rmd160 are read, and not written", async (t) => {
  t.equal(requireHash('md5'), 'md5');
  t.equal(requireHash('rmd160'), 'ripemd160');
  for (const name of ['md5', 'rmd160', 'SHA256']) {
    t.throws(() => checkNewHash(name), { code: 'UNSUPPORTED', message: /not for new ones/ });
  }
  t.throws(() => checkNewHash('stribog512'), {
    code: 'UNSUPPORTED',
    message: /"stribog512" is not available/,
  });
  checkNewHash('sha256');
});

t.test('what is no LUKS hash is refused by name', async (t) => {
  for (const name of [
    'md4',
    'stribog256',
    'streebog256',
    'shake128',
    'constructor',
    '__proto__',
    '',
    'sha256\n',
  ]) {
    t.equal(findHash(name), null, JSON.stringify(name));
    t.throws(() => requireHash(name), { code: 'UNSUPPORTED', message: `"${name}"` });
  }
});
