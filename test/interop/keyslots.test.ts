/**
 * Keyslots that cryptsetup made, opened here: each KDF, cipher and hash, several of them with priorities,
 * and everything that must not open.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { afSplit, LUKS_STRIPES } from '../../lib/crypto/af.js';
import { DEFAULT_KDF_LIMITS } from '../../lib/crypto/kdf.js';
import { readHeader } from '../../lib/format/header.js';
import { matchesDigest, verifyVolumeKey } from '../../lib/keyslot/digest.js';
import { type OpenKeyslotOptions, openKeyslot } from '../../lib/keyslot/open.js';
import { cryptsetup, writeAt } from '../kit/cryptsetup.js';
import { dumpVolumeKey, FAST_PBKDF2, formatHeader, type HeaderFiles, withDevice } from '../kit/headers.js';
import { type LooseJson, withJson } from '../kit/luks2-image.js';
import { skipUnless } from '../kit/requirements.js';

const skip = skipUnless({ tools: ['cryptsetup'] });

/** The keyslot and key that a passphrase opens. */
function open(files: HeaderFiles, passphrase: Uint8Array, options: OpenKeyslotOptions = {}) {
  return withDevice(files.header, async (device) => {
    const opened = await openKeyslot(device, readHeader(device), passphrase, options);
    if (!opened) return null;
    const key = Buffer.from(opened.volumeKey.bytes);
    opened.volumeKey.destroy();
    return { keyslot: opened.keyslot, key };
  });
}

function edit(files: HeaderFiles, change: (json: LooseJson) => unknown): void {
  fs.writeFileSync(files.header, withJson(fs.readFileSync(files.header), change));
}

async function addKey(files: HeaderFiles, passphrase: Uint8Array, ...args: string[]): Promise<void> {
  const file = path.join(files.dir, 'new-key');
  fs.writeFileSync(file, passphrase);
  await cryptsetup('luksAddKey', ...FAST_PBKDF2, ...args, '--key-file', files.keyFile, files.header, file);
}

const argon2 = (type: string, lanes: string) => [
  ...['--pbkdf', type, '--pbkdf-force-iterations', '4'],
  ...['--pbkdf-memory', '64', '--pbkdf-parallel', lanes],
];

t.test('the volume key of cryptsetup, by every way to it', { skip }, async (t) => {
  const variants: [string, ...string[]][] = [
    ['luks1', '--hash', 'sha1'],
    ['luks1', '--hash', 'ripemd160', '--cipher', 'aes-cbc-essiv:sha256', '--key-size', '128'],
    ['luks1', '--hash', 'sha512', '--cipher', 'aes-cbc-plain64', '--key-size', '256'],
    ['luks2'],
    ['luks2', '--hash', 'sha512', '--sector-size', '512'],
    ['luks2', '--hash', 'blake2b-512'],
    ['luks2', '--cipher', 'aes-cbc-essiv:sha256', '--key-size', '256'],
    ['luks2', '--keyslot-cipher', 'aes-cbc-plain64', '--keyslot-key-size', '128'],
    ['luks2', ...argon2('argon2id', '1')],
    ['luks2', ...argon2('argon2id', '2')],
    ['luks2', ...argon2('argon2i', '2'), '--hash', 'sha512'],
  ];
  for (const [type, ...args] of variants) {
    const files = await formatHeader(t, type, ...args);
    const expected = await dumpVolumeKey(files);
    const name = `${type} ${args.join(' ')}`;
    t.strictSame(await open(files, files.passphrase), { keyslot: 0, key: expected }, name);
    t.equal(await open(files, randomBytes(16)), null, `${name}: a wrong passphrase`);
    await withDevice(files.header, async (device) => {
      const header = readHeader(device);
      t.equal(await verifyVolumeKey(header, expected), 0);
      t.equal(await verifyVolumeKey(header, randomBytes(expected.length)), null);
    });
  }
});

t.test('passphrases are bytes: NULs, no UTF-8, 512 of them, none', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2', ...argon2('argon2id', '1'));
  const passphrases = ['\0\0a\0', '\xff\xfe\n', 'x'.repeat(512), ''].map((p) => Buffer.from(p, 'latin1'));
  for (const [index, passphrase] of passphrases.entries()) {
    await addKey(files, passphrase);
    t.match(await open(files, passphrase), { keyslot: index + 1 });
  }
});

t.test('keyslots are tried by priority', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  for (const _ of [1, 2, 3]) await addKey(files, files.passphrase);
  const prioritize = (slot: string, priority: string) =>
    cryptsetup('config', '--key-slot', slot, '--priority', priority, files.header);
  t.match(await open(files, files.passphrase), { keyslot: 0 });
  await prioritize('2', 'prefer');
  t.match(await open(files, files.passphrase), { keyslot: 2 });
  for (const slot of ['0', '1', '2', '3']) await prioritize(slot, 'ignore');
  t.equal(await open(files, files.passphrase), null, 'ignored ones are not tried');
  t.match(await open(files, files.passphrase, { keyslot: 1 }), { keyslot: 1 }, 'but open when named');
});

t.test('named keyslots that cannot be used', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const unbound = Buffer.from('unbound');
  await addKey(files, unbound, '--unbound', '--key-size', '256');
  edit(files, (json) => {
    json.keyslots['4'] = {
      type: 'acme',
      key_size: 1,
      area: { type: 'none', offset: '8388608', size: '4096' },
    };
  });
  await t.rejects(open(files, unbound, { keyslot: 7 }), { code: 'BAD_ARGUMENT', message: /7 is not active/ });
  await t.rejects(open(files, unbound, { keyslot: 4 }), { code: 'BAD_ARGUMENT', message: /"acme"/ });
  await t.rejects(open(files, unbound, { keyslot: 1 }), { code: 'BAD_ARGUMENT', message: /unbound/ });
  t.equal(await open(files, unbound), null);
  t.match(await open(files, unbound, { includeUnbound: true }), { keyslot: 1 });
});

t.test('a keyslot that costs too much does not hide the others', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  await addKey(files, Buffer.from('second'));
  edit(files, (json) => {
    json.keyslots['0'].kdf.iterations = 2 ** 31 - 1;
  });
  t.match(await open(files, Buffer.from('second')), { keyslot: 1 });
  await t.rejects(open(files, files.passphrase), {
    code: 'UNSUPPORTED',
    message: /keyslot 0: pbkdf2 asks for/,
  });
  const limits = { ...DEFAULT_KDF_LIMITS, pbkdf2Iterations: 10 };
  await t.rejects(open(files, Buffer.from('second'), { limits }), { code: 'UNSUPPORTED' });
});

t.test('a keyslot of an unknown hash or cipher says so', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  edit(files, (json) => {
    json.keyslots['0'].kdf.hash = 'acme';
  });
  await t.rejects(open(files, files.passphrase), { code: 'UNSUPPORTED', message: /keyslot 0: hash "acme"/ });
  edit(files, (json) => {
    json.keyslots['0'].kdf.hash = 'sha256';
    json.keyslots['0'].area.encryption = 'acme-xts-plain64';
  });
  await t.rejects(open(files, files.passphrase), { code: 'UNSUPPORTED', message: /acme/ });
});

t.test('null ciphers open nothing unless that is asked for', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  edit(files, (json) => {
    json.segments['0'].encryption = 'cipher_null-ecb';
  });
  t.equal(await open(files, files.passphrase), null, 'a segment without encryption');
  await t.rejects(open(files, files.passphrase, { keyslot: 0 }), { message: /null cipher/ });
  t.match(await open(files, files.passphrase, { allowNullCipher: true }), { keyslot: 0 });
});

t.test('a keyslot that anybody could have written', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const key = await dumpVolumeKey(files);
  edit(files, (json) => {
    json.keyslots['0'].area.encryption = 'cipher_null-ecb';
  });
  writeAt(files.header, afSplit(key, LUKS_STRIPES, 'sha256'), 32768);
  const empty = Buffer.alloc(0);
  t.equal(await open(files, empty), null);
  t.strictSame(await open(files, empty, { allowNullCipher: true }), { keyslot: 0, key });
  t.equal(await open(files, Buffer.from('x'), { allowNullCipher: true }), null, 'only the empty passphrase');
});

t.test('digests of unknown type match nothing', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const key = await dumpVolumeKey(files);
  await withDevice(files.header, async (device) => {
    const digest = readHeader(device).digests.get(0)!;
    t.ok(await matchesDigest(digest, key));
    t.notOk(await matchesDigest({ ...digest, type: 'acme' }, key));
    for (const bytes of [0, 1, 19, 31]) {
      const cut = { ...digest, digest: digest.digest.subarray(0, bytes) };
      await t.rejects(matchesDigest(cut, key), { code: 'HEADER_CORRUPT' }, `${bytes} bytes of one`);
    }
    t.ok(await matchesDigest({ ...digest, digest: digest.digest.subarray(0, 20) }, key), 'as LUKS1 has it');
  });
});
