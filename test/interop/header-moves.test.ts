/**
 * Headers converted, backed up, restored and repaired, by us and by cryptsetup in turns.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Device } from '../../lib/device.js';
import { backupHeader, previewRestore, restoreHeader } from '../../lib/format/backup.js';
import { convertHeader } from '../../lib/format/convert.js';
import { readHeader } from '../../lib/format/header.js';
import { repairHeader } from '../../lib/format/repair.js';
import { addToken, configure, keyringToken, removeToken } from '../../lib/format/settings.js';
import { addKey, killSlot } from '../../lib/keyslot/keys.js';
import { openKeyslot } from '../../lib/keyslot/open.js';
import { cryptsetup, writeAt } from '../kit/cryptsetup.js';
import {
  cryptsetupOpens,
  dumpVolumeKey,
  FAST_ARGON2ID,
  formatHeader,
  type HeaderFiles,
  read,
  withDevice,
} from '../kit/headers.js';
import { withJson } from '../kit/luks2-image.js';
import { skipUnless } from '../kit/requirements.js';

const skip = skipUnless({ tools: ['cryptsetup'] });
const PBKDF2 = { type: 'pbkdf2', forceIterations: 1000 } as const;

function change<T>(files: HeaderFiles, use: (device: Device) => Promise<T>): Promise<T> {
  return withDevice(files.header, use, { isReadOnly: false });
}

function add(files: HeaderFiles, passphrase: Buffer, keyslot?: number): Promise<number> {
  const options = keyslot === undefined ? { pbkdf: PBKDF2 } : { pbkdf: PBKDF2, keyslot };
  return change(files, (device) => addKey(device, { passphrase: files.passphrase }, passphrase, options));
}

async function bothOpen(t: Test, header: string, passphrase: Buffer, keyslot: number | null, name: string) {
  const ours = await withDevice(header, async (device) => {
    const opened = await openKeyslot(device, readHeader(device), passphrase);
    opened?.volumeKey.destroy();
    return opened?.keyslot ?? null;
  });
  t.equal(ours, keyslot, `${name}: we open ${keyslot}`);
  t.equal(await cryptsetupOpens(header, passphrase), keyslot, `${name}: cryptsetup opens ${keyslot}`);
}

t.test('convert: there and back, every keyslot keeps its number', { skip }, async (t) => {
  for (const args of [[], ['--hash', 'sha1', '--cipher', 'aes-cbc-essiv:sha256', '--key-size', '256']]) {
    const files = await formatHeader(t, 'luks1', ...args);
    const [second, third] = [Buffer.from('second'), Buffer.from('third')];
    await add(files, second, 3);
    const key = await dumpVolumeKey(files);
    const { uuid } = await read(files.header);
    await change(files, (device) => convertHeader(device, 2));
    t.match(await read(files.header), { version: 2, uuid });
    t.strictSame(await dumpVolumeKey(files), key);
    await bothOpen(t, files.header, files.passphrase, 0, 'LUKS2');
    await bothOpen(t, files.header, second, 3, 'LUKS2');
    const pbkdf = args.length ? { ...PBKDF2, hash: 'sha1' } : PBKDF2;
    await change(files, (device) =>
      addKey(device, { passphrase: files.passphrase }, third, { pbkdf, keyslot: 1 }),
    );
    await change(files, (device) => convertHeader(device, 1));
    t.match(await read(files.header), { version: 1, uuid });
    t.strictSame(await dumpVolumeKey(files), key);
    await bothOpen(t, files.header, files.passphrase, 0, 'LUKS1');
    await bothOpen(t, files.header, second, 3, 'LUKS1');
    await bothOpen(t, files.header, third, 1, 'LUKS1');
    const file = path.join(files.dir, 'third');
    fs.writeFileSync(file, 'by cryptsetup');
    const addArgs = ['--pbkdf-force-iterations', '1000', '--key-slot', '7', '--key-file', files.keyFile];
    await cryptsetup('luksAddKey', ...addArgs, files.header, file);
    await bothOpen(t, files.header, Buffer.from('by cryptsetup'), 7, 'LUKS1');
    await bothOpen(t, files.header, second, 3, 'LUKS1');
  }
});

t.test('convert: what cryptsetup converted', { skip }, async (t) => {
  const up = await formatHeader(t, 'luks1');
  await cryptsetup('convert', '--type', 'luks2', up.header);
  await bothOpen(t, up.header, up.passphrase, 0, 'up');
  await change(up, (device) => convertHeader(device, 1));
  await bothOpen(t, up.header, up.passphrase, 0, 'up and down');
  const down = await formatHeader(t, 'luks2', '--sector-size', '512');
  await cryptsetup('convert', '--type', 'luks1', down.header);
  await bothOpen(t, down.header, down.passphrase, 0, 'down');
  await change(down, (device) => convertHeader(device, 2));
  await bothOpen(t, down.header, down.passphrase, 0, 'down and up');
});

t.test('convert: what LUKS1 cannot say is refused', { skip }, async (t) => {
  const cases: [string[], RegExp][] = [
    [['--sector-size', '4096'], /512-byte sectors/],
    [['--sector-size', '512', '--label', 'x'], /label/],
    [['--sector-size', '512', ...FAST_ARGON2ID], /uses argon2id/],
    [
      ['--sector-size', '512', '--keyslot-cipher', 'aes-cbc-plain64', '--keyslot-key-size', '256'],
      /otherwise/,
    ],
  ];
  for (const [args, message] of cases) {
    const files = await formatHeader(t, 'luks2', ...args);
    const before = fs.readFileSync(files.header);
    await t.rejects(
      change(files, (device) => convertHeader(device, 1)),
      { code: 'BAD_ARGUMENT', message },
    );
    await t.rejects(
      change(files, (device) => convertHeader(device, 2)),
      { message: /LUKS2 already/ },
    );
    t.strictSame(fs.readFileSync(files.header), before);
  }
  const full = await formatHeader(t, 'luks1');
  for (let slot = 1; slot < 8; slot += 1) await add(full, Buffer.from('x'));
  await t.rejects(
    change(full, (device) => convertHeader(device, 2)),
    { message: /none is inactive/ },
  );
});

for (const type of ['luks1', 'luks2']) {
  t.test(`${type}: backups, ours and those of cryptsetup`, { skip }, async (t) => {
    const files = await formatHeader(t, type);
    const file = (name: string) => path.join(files.dir, name);
    const added = Buffer.from('added since');
    await change(files, (device) => backupHeader(device, file('ours')));
    await cryptsetup('luksHeaderBackup', '--header-backup-file', file('theirs'), files.header);
    t.equal(fs.statSync(file('ours')).mode & 0o777, 0o600);
    const theirs = fs.readFileSync(file('theirs'));
    t.strictSame(fs.readFileSync(file('ours')).subarray(0, theirs.length), theirs, 'the same bytes');
    await bothOpen(t, file('ours'), files.passphrase, 0, 'a backup is a header');
    await t.rejects(
      change(files, (device) => backupHeader(device, file('ours'))),
      { code: 'BAD_ARGUMENT', message: /another name/ },
    );

    for (const name of ['ours', 'theirs']) {
      await add(files, added);
      const preview = await change(files, (device) =>
        withDevice(file(name), (backup) => previewRestore(device, backup)),
      );
      t.strictSame(preview.differences, ['keyslots: 0, 1 → 0']);
      t.strictSame(preview.objections, []);
      const kept = file(`kept-${name}`);
      await change(files, (device) =>
        withDevice(file(name), (backup) => restoreHeader(device, backup, { keepReplacedAt: kept })),
      );
      await bothOpen(t, files.header, files.passphrase, 0, `restored from ${name}`);
      await bothOpen(t, files.header, added, null, `restored from ${name}`);
      await bothOpen(t, kept, added, 1, 'the replaced header');
    }
    await add(files, added);
    await cryptsetup('luksHeaderRestore', '--header-backup-file', file('ours'), files.header);
    await bothOpen(t, files.header, added, null, 'cryptsetup restored ours');
  });

  t.test(`${type}: restores that are refused`, { skip }, async (t) => {
    const files = await formatHeader(t, type);
    const other = await formatHeader(t, type);
    const backup = path.join(files.dir, 'backup');
    await change(files, (device) => backupHeader(device, backup));
    const restore = (target: HeaderFiles, force = false) =>
      change(target, (device) => withDevice(backup, (source) => restoreHeader(device, source, { force })));
    await t.rejects(restore(other), { code: 'BAD_ARGUMENT', message: /UUID/ });
    await bothOpen(t, other.header, other.passphrase, 0, 'untouched');
    await restore(other, true);
    await bothOpen(t, other.header, files.passphrase, 0, 'forced');
    const material = type === 'luks1' ? 5000 : 40000;
    writeAt(backup, randomBytes(1), material);
    writeAt(backup, randomBytes(8), material + 1);
    await t.rejects(restore(files), { code: 'HEADER_CORRUPT', message: /checksum/ });
    fs.writeFileSync(other.header, randomBytes(20 * 1024 * 1024));
    fs.truncateSync(backup, fs.statSync(backup).size - 512);
    await t.rejects(restore(other), { code: 'BAD_ARGUMENT', message: /no readable LUKS header/ });
    fs.truncateSync(backup, 4096);
    await t.rejects(restore(files), { code: 'HEADER_CORRUPT', message: /truncated/ });
  });
}

t.test('repair: a LUKS2 copy from the other', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const good = fs.readFileSync(files.header);
  t.strictSame(await change(files, (device) => repairHeader(device)), []);
  t.strictSame(fs.readFileSync(files.header), good, 'nothing to repair, nothing written');
  for (const [offsetBytes, name] of [
    [0, 'primary'],
    [16384, 'secondary'],
  ] as const) {
    for (const damage of [Buffer.alloc(4096), Buffer.from('LUKSxx')]) {
      writeAt(files.header, damage, offsetBytes);
      await t.rejects(
        change(files, (device) => configure(device, { label: 'x' })),
        { code: 'HEADER_CORRUPT', message: /run repair first/ },
      );
      t.match(await change(files, (device) => repairHeader(device)), [
        new RegExp(`${name} copy, which was absent`),
      ]);
      t.match((await read(files.header)).disk, {
        primary: { state: 'valid' },
        secondary: { state: 'valid' },
      });
    }
    writeAt(files.header, Buffer.from('x'), offsetBytes + 5000);
    t.match(await change(files, (device) => repairHeader(device)), [
      new RegExp(`${name} copy, which was corrupt`),
    ]);
  }
  await bothOpen(t, files.header, files.passphrase, 0, 'repaired');
});

t.test('repair: a file system where the primary copy was', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  writeAt(files.header, Buffer.concat([Buffer.from('XFSB'), randomBytes(4092)]), 0);
  await t.rejects(
    change(files, (device) => repairHeader(device)),
    { code: 'BAD_ARGUMENT', message: /XFS/ },
  );
  t.equal((await change(files, (device) => repairHeader(device, { force: true }))).length, 1);
  await bothOpen(t, files.header, files.passphrase, 0, 'forced');
});

t.test('repair: LUKS1 fields that can have one value only', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks1');
  await add(files, Buffer.from('second'), 2);
  const image = fs.readFileSync(files.header);
  image.writeUInt32BE(4001, 208 + 44);
  image.writeUInt32BE(0x12345678, 208 + 48);
  image.writeUInt32BE(3, 208 + 2 * 48 + 40);
  fs.writeFileSync(files.header, image);
  await t.rejects(read(files.header), { code: 'HEADER_CORRUPT' });
  t.strictSame(await change(files, (device) => repairHeader(device)), [
    'stripes of keyslot 0',
    'state of keyslot 1, now inactive',
    'offset of keyslot 2',
  ]);
  await bothOpen(t, files.header, files.passphrase, 0, 'repaired');
  await bothOpen(t, files.header, Buffer.from('second'), 2, 'repaired');
});

t.test('unknown requirements: what is refused and what is not', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  await add(files, Buffer.from('second'));
  const image = withJson(fs.readFileSync(files.header), (json) => {
    json.config.requirements = { mandatory: ['acme'] };
  });
  fs.writeFileSync(files.header, image);
  const backup = path.join(files.dir, 'backup');
  const refused: [string, (device: Device) => Promise<unknown>][] = [
    ['add-key', (device) => addKey(device, { passphrase: files.passphrase }, Buffer.from('x'))],
    ['config', (device) => configure(device, { label: 'x' })],
    ['token add', (device) => addToken(device, keyringToken('x', [0]))],
    ['token remove', (device) => removeToken(device, 0)],
    ['convert', (device) => convertHeader(device, 1)],
    ['restore', (device) => withDevice(backup, (source) => restoreHeader(device, source))],
  ];
  await change(files, (device) => backupHeader(device, backup));
  for (const [name, command] of refused) {
    await t.rejects(change(files, command), { code: 'UNSUPPORTED', message: /acme/ }, name);
  }
  t.strictSame(fs.readFileSync(files.header), image);
  await change(files, (device) => killSlot(device, 1));
  t.strictSame((await read(files.header)).config.requirements, ['acme'], 'and they survive a rewrite');
});
