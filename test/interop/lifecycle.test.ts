/**
 * A header's whole life in both directions: what we write, cryptsetup opens and shows; what cryptsetup
 * writes, we change, and it opens again.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Device } from '../../lib/device.js';
import { readHeader } from '../../lib/format/header.js';
import { addToken, configure, keyringToken, removeToken } from '../../lib/format/settings.js';
import { addKey, changeKey, erase, killSlot, removeKey } from '../../lib/keyslot/keys.js';
import { openKeyslot } from '../../lib/keyslot/open.js';
import { type FormatOptions, formatVolume } from '../../lib/volume/create.js';
import { wipePayload } from '../../lib/volume/noise.js';
import { cryptsetup, decryptPayload, makePair } from '../kit/cryptsetup.js';
import {
  cryptsetupOpens,
  dumpVolumeKey,
  FAST_PBKDF2,
  formatHeader,
  type HeaderFiles,
  makeFiles,
  read,
  withDevice,
} from '../kit/headers.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';

const skip = skipUnless({ tools: ['cryptsetup'] });
const PBKDF2 = { type: 'pbkdf2', forceIterations: 1000 } as const;
const ARGON2ID = { type: 'argon2id', forceIterations: 4, memoryKiB: 32, parallel: 1 } as const;
const TYPES = ['luks1', 'luks2'] as const;

const change = <T>(files: HeaderFiles, use: (device: Device) => Promise<T>) =>
  withDevice(files.header, use, { isReadOnly: false });

/** The keyslot that we open with this passphrase. */
function weOpen(header: string, passphrase: Uint8Array): Promise<number | null> {
  return withDevice(header, async (device) => {
    const opened = await openKeyslot(device, readHeader(device), passphrase);
    opened?.volumeKey.destroy();
    return opened?.keyslot ?? null;
  });
}

/** Both programs open the same keyslot, or none. */
async function bothOpen(
  t: Test,
  files: HeaderFiles,
  passphrase: Uint8Array,
  keyslot: number | null,
  name: string,
) {
  t.equal(await weOpen(files.header, passphrase), keyslot, `${name}: we open ${keyslot}`);
  t.equal(await cryptsetupOpens(files.header, passphrase), keyslot, `${name}: cryptsetup opens ${keyslot}`);
}

t.test('format: what we make, cryptsetup opens with the same key', { skip }, async (t) => {
  const variants: FormatOptions[] = [
    { version: 1, pbkdf: PBKDF2 },
    { version: 1, pbkdf: PBKDF2, hash: 'sha512', encryption: 'aes-cbc-essiv:sha256', keySizeBytes: 32 },
    { version: 1, pbkdf: PBKDF2, offsetBytes: 4096 * 512 },
    { pbkdf: PBKDF2 },
    { pbkdf: ARGON2ID, sectorSizeBytes: 512, label: 'größe', subsystem: 'sub' },
    { pbkdf: { ...ARGON2ID, type: 'argon2i' }, hash: 'sha512', keyslot: 5 },
    { pbkdf: PBKDF2, metadataSizeBytes: 131072, keyslotsSizeBytes: 1048576, offsetBytes: 2097152 },
    { pbkdf: PBKDF2, encryption: 'aes-cbc-plain64', keySizeBytes: 16 },
    { pbkdf: PBKDF2, keyslotEncryption: 'aes-cbc-essiv:sha256', keyslotKeySizeBytes: 32 },
  ];
  for (const options of variants) {
    const files = makeFiles(t);
    fs.truncateSync(files.payload, 4 * 1024 * 1024); // behind every offset
    const before = fs.readFileSync(files.payload);
    const volumeKey = randomBytes(options.keySizeBytes ?? 64);
    const made = await formatVolume(files, files.passphrase, { ...options, volumeKey });
    const name = JSON.stringify(options);
    t.strictSame(fs.readFileSync(files.payload), before, `${name}: the payload is untouched`);
    t.equal(fs.statSync(files.header).mode & 0o777, 0o600);
    const header = await read(files.header);
    t.strictSame(header.document, made.document);
    await bothOpen(t, files, files.passphrase, options.keyslot ?? 0, name);
    t.strictSame(await dumpVolumeKey(files), volumeKey, name);
    await t.rejects(formatVolume(files, files.passphrase, options), {
      code: 'BAD_ARGUMENT',
      message: /already/,
    });
    await formatVolume(files, Buffer.from('other'), { ...options, overwrite: true });
    await bothOpen(t, files, files.passphrase, null, name);
  }
});

t.test('format: the default header is as large as that of cryptsetup', { skip }, async (t) => {
  for (const [version, sizeBytes] of [
    [1, 2068480],
    [2, 16777216],
  ] as const) {
    const files = makeFiles(t);
    await formatVolume(files, files.passphrase, { version, pbkdf: PBKDF2 });
    t.equal(fs.statSync(files.header).size, sizeBytes);
  }
});

t.test('format: attached', { skip }, async (t) => {
  for (const version of [1, 2] as const) {
    const { payload, passphrase } = makeFiles(t);
    const options = { version, pbkdf: PBKDF2 };
    await t.rejects(formatVolume({ payload }, passphrase, options), { message: /holds data already/ });
    const overwrite = { ...options, overwrite: true };
    await t.rejects(formatVolume({ payload }, passphrase, overwrite), { message: /too small/ });
    fs.truncateSync(payload, 64 * 1024 * 1024);
    const header = await formatVolume({ payload }, passphrase, overwrite);
    t.equal(header.segments[0]!.offsetBytes, version === 1 ? 2097152 : 16777216);
    t.equal(await cryptsetupOpens(payload, passphrase), 0);
  }
});

t.test('format: a time for the KDF is measured', { skip }, async (t) => {
  const files = makeFiles(t);
  const pbkdf = { iterTimeMs: 200, memoryKiB: 65536 };
  const header = await formatVolume(files, files.passphrase, { pbkdf });
  t.match(header.keyslots.get(0)!.kdf, { type: 'argon2id' });
  t.ok(header.digests.get(0)!.iterations > 1000);
  const start = performance.now();
  await bothOpen(t, files, files.passphrase, 0, 'measured');
  t.ok(performance.now() - start < 5000);
});

t.test('format: what cannot be is refused before anything is written', { skip }, async (t) => {
  const bad: FormatOptions[] = [
    { encryption: 'acme-xts-plain64' },
    { keySizeBytes: 63 },
    { uuid: 'x' },
    { version: 1, label: 'x' },
    { version: 1, sectorSizeBytes: 4096 },
    { metadataSizeBytes: 12345 },
    { label: 'x'.repeat(48) },
    { pbkdf: { forceIterations: 999, type: 'pbkdf2' } },
    { pbkdf: { ...ARGON2ID, parallel: 5 } },
    { pbkdf: { ...ARGON2ID, memoryKiB: 16 } },
    { hash: 'md4' },
  ];
  for (const options of bad) {
    const files = makeFiles(t);
    const all = { pbkdf: PBKDF2, ...options };
    await t.rejects(
      formatVolume(files, files.passphrase, all),
      { name: 'LuksError' },
      JSON.stringify(options),
    );
    t.notOk(fs.existsSync(files.header), JSON.stringify(options));
  }
});

t.test('wipe: the payload becomes noise', async (t) => {
  const files = makeFiles(t);
  fs.writeFileSync(files.payload, Buffer.alloc(3_000_000));
  await withDevice(files.payload, (device) => wipePayload(device, 4096), { isReadOnly: false });
  const bytes = fs.readFileSync(files.payload);
  t.ok(bytes.subarray(0, 4096).every((byte) => byte === 0));
  const zeros = bytes.subarray(4096).filter((byte) => byte === 0).length;
  t.ok(Math.abs(zeros - bytes.length / 256) < 1000, `${zeros} zeros`);
});

for (const type of TYPES) {
  t.test(`${type}: keys added, changed and removed by turns`, { skip }, async (t) => {
    const files = await formatHeader(t, type);
    const pbkdf = type === 'luks1' ? PBKDF2 : ARGON2ID;
    const [second, third, fourth] = [randomBytes(20), Buffer.from('\0\xff\n', 'latin1'), Buffer.from('four')];
    const volumeKey = await dumpVolumeKey(files);
    const add = (unlock: Parameters<typeof addKey>[1], key: Buffer, options = {}) =>
      change(files, (device) => addKey(device, unlock, key, { pbkdf, ...options }));

    t.equal(await add({ passphrase: files.passphrase }, second), 1);
    await bothOpen(t, files, second, 1, 'added by passphrase');
    t.equal(await add({ volumeKey }, third, { keyslot: 6 }), 6);
    await bothOpen(t, files, third, 6, 'added by volume key');
    await t.rejects(add({ passphrase: fourth }, fourth), { code: 'BAD_PASSPHRASE' });
    await t.rejects(add({ volumeKey: randomBytes(64) }, fourth), { code: 'BAD_PASSPHRASE' });
    await t.rejects(add({ volumeKey }, fourth, { keyslot: 6 }), { code: 'BAD_ARGUMENT', message: /in use/ });
    await t.rejects(add({ volumeKey }, fourth, { keyslot: 32 }), {
      code: 'BAD_ARGUMENT',
      message: /not exist/,
    });

    const file = path.join(files.dir, 'fourth');
    fs.writeFileSync(file, fourth);
    await cryptsetup('luksAddKey', ...FAST_PBKDF2, '--key-file', files.keyFile, files.header, file);
    await bothOpen(t, files, fourth, 2, 'added by cryptsetup');

    const changed = await change(files, (device) => changeKey(device, second, Buffer.from('new'), { pbkdf }));
    t.equal(changed, type === 'luks1' ? 3 : 1);
    await bothOpen(t, files, Buffer.from('new'), changed, 'changed');
    await bothOpen(t, files, second, null, 'changed, the old one');

    t.equal(await change(files, (device) => removeKey(device, third)), 6);
    await bothOpen(t, files, third, null, 'removed');
    await change(files, (device) => killSlot(device, 2));
    await bothOpen(t, files, fourth, null, 'killed');
    await t.rejects(
      change(files, (device) => killSlot(device, 2)),
      { code: 'BAD_ARGUMENT', message: /not active/ },
    );
    await cryptsetup('luksKillSlot', files.header, String(changed));
    await bothOpen(t, files, Buffer.from('new'), null, 'killed by cryptsetup');

    await t.rejects(
      change(files, (device) => removeKey(device, files.passphrase)),
      { code: 'BAD_ARGUMENT', message: /last key/ },
    );
    await bothOpen(t, files, files.passphrase, 0, 'still there');
    await change(files, (device) => removeKey(device, files.passphrase, { force: true }));
    t.equal((await read(files.header)).keyslots.size, 0);
    await add({ volumeKey }, second);
    await bothOpen(t, files, second, 0, 'added to none by the volume key');
  });

  t.test(`${type}: removed key material is overwritten`, { skip }, async (t) => {
    const files = await formatHeader(t, type);
    const header = await read(files.header);
    const { offsetBytes, sizeBytes } = header.keyslots.get(0)!.area!;
    const area = () => fs.readFileSync(files.header).subarray(offsetBytes, offsetBytes + sizeBytes);
    const before = area();
    await change(files, erase);
    const after = area();
    const same = before.filter((byte, at) => byte === after[at]).length;
    t.ok(same < sizeBytes / 100, `${same} bytes of ${sizeBytes} are as before, by chance`);
    await bothOpen(t, files, files.passphrase, null, 'erased');
    await cryptsetup('luksDump', files.header);
  });
}

t.test('luks1: keyslots have the header hash and cipher, and eight places', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks1');
  const unlock = { passphrase: files.passphrase };
  const add = (options: Parameters<typeof addKey>[3]) =>
    change(files, (device) => addKey(device, unlock, Buffer.from('x'), options));
  await t.rejects(add({ pbkdf: ARGON2ID }), { code: 'BAD_ARGUMENT', message: /only use pbkdf2/ });
  await t.rejects(add({ pbkdf: { ...PBKDF2, hash: 'sha512' } }), { code: 'BAD_ARGUMENT' });
  await t.rejects(add({ pbkdf: PBKDF2, encryption: 'aes-cbc-plain' }), { code: 'BAD_ARGUMENT' });
  for (let slot = 1; slot < 8; slot += 1) t.equal(await add({ pbkdf: PBKDF2 }), slot);
  await t.rejects(add({ pbkdf: PBKDF2 }), { code: 'BAD_ARGUMENT', message: /all 8 keyslots/ });
  await bothOpen(t, files, Buffer.from('x'), 1, 'full');
});

t.test('luks2: settings and tokens', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const settings = { label: 'a label', subsystem: 'sub', flags: ['allow-discards'] };
  const priorities = [{ keyslot: 0, priority: 2 as const }];
  await change(files, (device) => configure(device, { ...settings, priorities }));
  const dump = (await cryptsetup('luksDump', files.header)).stdout.toString();
  for (const line of [
    /Label:\s+a label/,
    /Subsystem:\s+sub/,
    /Flags:\s+allow-discards/,
    /Priority:\s+preferred/,
  ]) {
    t.match(dump, line);
  }
  const custom = { type: 'acme', keyslots: ['0'], data: { deep: [1, 'x', null] } };
  t.equal(await change(files, (device) => addToken(device, custom)), 0);
  t.equal(await change(files, (device) => addToken(device, keyringToken('my key', [0]), 7)), 7);
  const exported = await cryptsetup('token', 'export', '--token-id', '0', files.header);
  t.strictSame(JSON.parse(exported.stdout.toString()), custom);
  t.match((await cryptsetup('luksDump', files.header)).stdout.toString(), /7: luks2-keyring/);
  await cryptsetup(
    'token',
    'import',
    '--token-id',
    '3',
    '--json-file',
    writeJson(files, custom),
    files.header,
  );
  t.strictSame((await read(files.header)).tokens.get(3)!.document, custom);
  await change(files, (device) => removeToken(device, 3));
  t.notOk((await read(files.header)).tokens.has(3));
  await t.rejects(
    change(files, (device) => addToken(device, { type: 'acme', keyslots: ['9'] })),
    { code: 'BAD_ARGUMENT', message: /keyslot 9/ },
  );
  await t.rejects(
    change(files, (device) => addToken(device, { ...custom, data: 'x'.repeat(20000) })),
    { code: 'BAD_ARGUMENT', message: /needs \d+ bytes/ },
  );
  const older = await formatHeader(t, 'luks1');
  await t.rejects(
    change(older, (device) => configure(device, { label: 'x' })),
    { message: /LUKS1 has no place/ },
  );
});

function writeJson(files: HeaderFiles, json: unknown): string {
  const file = path.join(files.dir, 'json');
  fs.writeFileSync(file, JSON.stringify(json));
  return file;
}

t.test('a removed keyslot leaves no reference, and other things as they were', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const second = Buffer.from('second');
  await change(files, (device) =>
    addKey(device, { passphrase: files.passphrase }, second, { pbkdf: PBKDF2 }),
  );
  await change(files, (device) => addToken(device, { type: 'acme', keyslots: ['0', '1'], x: { y: 1 } }));
  await change(files, (device) => killSlot(device, 0));
  const header = await read(files.header);
  t.strictSame(header.tokens.get(0)!.document, { type: 'acme', keyslots: ['1'], x: { y: 1 } });
  t.strictSame(header.digests.get(0)!.keyslots, [1]);
});

t.test('a header that another program has locked is busy', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const holder = run('flock', [files.header, 'sleep', '7']);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await t.rejects(change(files, erase), { code: 'BUSY' });
  await holder;
  await change(files, erase);
});

t.test('a header of ours leads cryptsetup to the plaintext', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sectorSizeBytes: 4096, sizeBytes: 1024 * 1024 });
  const header = path.join(pair.dir, 'ours');
  const volumeKey = fs.readFileSync(pair.volumeKeyFile);
  const options = { volumeKey, sectorSizeBytes: 4096, pbkdf: PBKDF2 };
  await formatVolume({ header, payload: pair.payload }, pair.passphrase, options);
  t.strictSame(await decryptPayload({ ...pair, fillHeader: header }), pair.plaintext);
});

t.test('QEMU opens a LUKS1 volume of ours', { skip: skipUnless({ tools: ['qemu-io'] }) }, async (t) => {
  const { payload, keyFile } = makeFiles(t);
  fs.writeFileSync(keyFile, 'text');
  fs.truncateSync(payload, 8 * 1024 * 1024);
  await formatVolume({ payload }, Buffer.from('text'), { version: 1, pbkdf: PBKDF2, overwrite: true });
  const secret = ['--object', `secret,id=key,file=${keyFile}`];
  const image = `driver=luks,key-secret=key,file.filename=${payload}`;
  const { stdout } = await mustRun('qemu-io', [...secret, '--image-opts', '-c', 'read 0 4096', image]);
  t.match(stdout.toString(), /read 4096\/4096 bytes/);
});
