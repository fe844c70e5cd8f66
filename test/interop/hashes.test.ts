/**
 * The hashes that LUKS headers name: headers of cryptsetup, which we unlock, and ours, which it unlocks.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

/** Whirlpool is in OpenSSL's legacy provider; LUKS1 takes none shorter than its digest of 160 bits. */
const HASHES = [
  ...['sha1', 'sha224', 'sha384', 'sha512', 'ripemd160', 'whirlpool', 'sm3'],
  ...['sha3-224', 'sha3-256', 'sha3-384', 'sha3-512', 'blake2b-512', 'blake2s-256'],
];

t.test('hashes', { skip: skipUnless({ tools: ['cryptsetup'] }) }, async (t) => {
  const dir = makeTempDir(t);
  const [keyFile, payload] = [path.join(dir, 'key'), path.join(dir, 'payload')];
  fs.writeFileSync(keyFile, 'passphrase');
  fs.writeFileSync(payload, Buffer.alloc(1024 * 1024));
  // One type for each, in turn: the key derivation is the same code for both.
  for (const [index, hash] of HASHES.entries()) {
    const type = index % 2 === 0 ? 'luks1' : 'luks2';
    t.test(`${hash} in ${type}`, async (t) => {
      const header = path.join(dir, `header-${hash}`);
      const cost = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
      const args = ['--type', type, '--hash', hash, ...cost, '--key-file', keyFile, '--header', header];
      await cryptsetup('luksFormat', ...args, payload);
      await mustLuksfuse(['test-key', '--key-file', keyFile, header]);
      t.pass("we unlock cryptsetup's");
      fs.rmSync(header);
      await mustLuksfuse(['format', '-q', ...args, payload]);
      await cryptsetup('open', '--test-passphrase', '--key-file', keyFile, header);
      t.pass('cryptsetup unlocks ours');
    });
  }
});
