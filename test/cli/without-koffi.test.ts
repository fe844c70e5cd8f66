/**
 * Where no C function can be called, as on 32-bit machines: every command works all the same, with cryptsetup as witness,
 * or refuses in a sentence.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { AES_CIPHERS, decryptPayload, makePair } from '../kit/cryptsetup.js';
import { cryptsetupOpens, FAST_PBKDF2, makeFiles } from '../kit/headers.js';
import { mustLuksfuse, unlockArgs } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';
import { luksfuseWithout, mustLuksfuseWithout } from '../kit/without-koffi.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ tools: ['cryptsetup', 'perl'] });
const dump = async (header: string) => (await mustRun('cryptsetup', ['luksDump', header])).stdout.toString();

t.test('koffi is hidden', async (t) => {
  const env = { DEBUG: 'luksfuse:native' };
  t.match((await mustLuksfuseWithout(['benchmark', '--help'], { env })).stderr, /koffi is not usable here/);
});

for (const type of ['luks1', 'luks2'] as const) {
  t.test(`a ${type} header is made and changed`, { skip }, async (t) => {
    const { dir, header, payload, keyFile, passphrase } = makeFiles(t);
    const file = (name: string) => path.join(dir, name);
    const second = randomBytes(16);
    const third = randomBytes(16);
    fs.writeFileSync(file('second'), second);
    fs.writeFileSync(file('third'), third);
    const opens = (key: Uint8Array, backup = header) => cryptsetupOpens(backup, key);

    const formatArgs = ['--type', type, ...FAST_PBKDF2, '--key-file', keyFile, '--header', header, payload];
    await mustLuksfuseWithout(['format', ...formatArgs]);
    t.equal(await opens(passphrase), 0, 'format');
    const unlock = ['--key-file', keyFile, header];
    await mustLuksfuseWithout(['add-key', ...FAST_PBKDF2, ...unlock, '--new-key-file', file('second')]);
    t.equal(await opens(second), 1, 'add-key');
    await mustLuksfuseWithout([
      ...['change-key', ...FAST_PBKDF2, '--key-file', file('second'), header],
      ...['--new-key-file', file('third')],
    ]);
    t.equal(await opens(second), null, 'change-key: the old one');
    t.type(await opens(third), 'number', 'change-key: the new one');
    await mustLuksfuseWithout(['header-backup', header, file('backup')]);
    t.equal(await opens(passphrase, file('backup')), 0, 'header-backup');
    await mustLuksfuseWithout(['remove-key', header, '--key-file', file('third')]);
    t.equal(await opens(third), null, 'remove-key');
    await mustLuksfuseWithout(['header-restore', '--batch-mode', header, file('backup')]);
    t.type(await opens(third), 'number', 'header-restore');

    await mustLuksfuseWithout(['test-key', ...unlock]);
    t.match((await mustLuksfuseWithout(['dump', header])).stdout.toString(), /keyslot/i);
    t.match(await dump(header), (await mustLuksfuseWithout(['uuid', header])).stdout.toString().trim());
    await mustLuksfuseWithout(['is-luks', header]);
    t.equal((await luksfuseWithout(['test-key', '--key-file', file('second'), header])).code, 2);

    if (type === 'luks2') {
      await mustLuksfuseWithout(['config', '--label', 'mill', header]);
      await mustLuksfuseWithout(['token', 'add', '--key-description', 'mill-key', header]);
      t.match(await dump(header), /Label:\s+mill[\s\S]*luks2-keyring/, 'config and token');
      const { code, stderr } = await luksfuseWithout(['test-key', '--token-id', '0', header]);
      t.equal(code, 4);
      t.match(stderr, /request_key\(\) needs the package koffi.*; use 64-bit/);
      fs.writeFileSync(file('damaged'), fs.readFileSync(header));
      fs.truncateSync(file('damaged'), 16 * MiB);
      const damaged = fs.openSync(file('damaged'), 'r+');
      fs.writeSync(damaged, randomBytes(512), 0, 512, 0);
      fs.closeSync(damaged);
      await mustLuksfuseWithout(['repair', '--batch-mode', file('damaged')]);
      t.equal(await opens(passphrase, file('damaged')), 0, 'repair');
      await mustLuksfuseWithout(['token', 'remove', '--token-id', '0', header]);
    } else {
      await mustLuksfuseWithout(['convert', '--batch-mode', '--type', 'luks2', header]);
      t.match(await dump(header), /Version:\s+2/, 'convert');
    }
    await mustLuksfuseWithout(['erase', '--batch-mode', header]);
    t.equal(await opens(passphrase), null, 'erase');
  });
}

for (const { cipher, keySizeBits } of AES_CIPHERS) {
  t.test(`cat and write: ${cipher} ${keySizeBits}`, { skip }, async (t) => {
    const pair = await makePair(t, { type: 'luks2', cipher, keySizeBits, sizeBytes: MiB });
    const cat = await mustLuksfuseWithout(['cat', ...unlockArgs(pair), pair.payload]);
    t.ok(cat.stdout.equals(pair.plaintext), 'cat gives what cryptsetup encrypted');
    const input = randomBytes(3000);
    await mustLuksfuseWithout(['write', ...unlockArgs(pair), '--offset', '1000', pair.payload], { input });
    input.copy(pair.plaintext, 1000);
    t.ok((await decryptPayload(pair)).equals(pair.plaintext), 'cryptsetup decrypts what was written');
  });
}

t.test('a payload is rewritten in place', { skip }, async (t) => {
  const { header, payload, keyFile } = makeFiles(t);
  const plaintext = fs.readFileSync(payload);
  const unlock = ['--header', header, '--key-file', keyFile, payload];
  const batch = ['--batch-mode', ...FAST_PBKDF2, ...unlock];
  const cat = async () => (await mustLuksfuse(['cat', ...unlock])).stdout;
  await mustLuksfuseWithout(['encrypt', ...batch]);
  t.match(await dump(header), /Keyslots:/);
  t.notOk(fs.readFileSync(payload).equals(plaintext));
  t.ok((await cat()).equals(plaintext), 'encrypt');
  const before = fs.readFileSync(payload);
  await mustLuksfuseWithout(['reencrypt', '--cipher', 'aes-cbc-essiv:sha256', '-s', '256', ...batch]);
  t.notOk(fs.readFileSync(payload).equals(before));
  t.ok((await cat()).equals(plaintext), 'reencrypt');
  await mustRun('cryptsetup', [
    'reencrypt',
    '--decrypt',
    '--batch-mode',
    '--force-offline-reencrypt',
    ...unlock,
  ]);
  t.ok(fs.readFileSync(payload).equals(plaintext), 'cryptsetup decrypts what is left');
  fs.rmSync(header, { force: true });
  await mustLuksfuseWithout(['encrypt', ...batch]);
  await mustLuksfuseWithout(['decrypt', '--batch-mode', ...unlock]);
  t.ok(fs.readFileSync(payload).equals(plaintext), 'decrypt');
});

t.test('what else there is', async (t) => {
  const { stdout } = await mustLuksfuseWithout(['benchmark', '--json', '-c', 'aes-xts-plain64']);
  t.match(stdout.toString(), /node-crypto/);
  t.match((await mustLuksfuseWithout(['completion', 'bash'])).stdout.toString(), /luksfuse/);
  t.equal((await mustLuksfuseWithout(['list', '--json'])).stderr, '');
  const old = await luksfuseWithout(['benchmark', '-c', 'blowfish-cbc-plain', '-s', '128']);
  t.match(old, { code: 4, stderr: /has no working blowfish.*koffi.*NODE_OPTIONS=--openssl-legacy-provider/ });
});

t.test(
  'who has a header locked is waited for',
  { skip: skip || skipUnless({ tools: ['flock'] }) },
  async (t) => {
    const { header, payload, keyFile } = makeFiles(t);
    await mustLuksfuse(['format', ...FAST_PBKDF2, '--key-file', keyFile, '--header', header, payload]);
    const add = ['add-key', ...FAST_PBKDF2, '--key-file', keyFile, header, '--new-key-file', payload];
    const held = mustRun('flock', [header, 'sleep', '8']);
    const { code, stderr } = await luksfuseWithout([...add, '--new-key-slot', '3', '--json']);
    t.equal(code, 5, stderr);
    t.match(stderr, /locked by another program/);
    await held;
  },
);

t.test('neither koffi nor perl: nothing is written unlocked', async (t) => {
  const { dir, header, payload, keyFile } = makeFiles(t);
  fs.symlinkSync(process.execPath, path.join(dir, 'node'));
  const args = ['format', ...FAST_PBKDF2, '--key-file', keyFile, '--header', header, payload];
  const { code, stderr } = await luksfuseWithout(args, { env: { PATH: dir } });
  t.equal(code, 4);
  t.match(stderr, /^luksfuse: format: cannot lock files: the package koffi.*nor perl.*; install perl\n$/);
  t.notOk(fs.existsSync(header));
});
