/**
 * `luksfuse format`: what it makes opens in cryptsetup and QEMU, and what it must not touch it does not.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import {
  bothOpen,
  hashOf,
  json,
  makePlace,
  nameOf,
  refuses,
  says,
  VOLUME_KINDS,
} from '../kit/header-commands.js';
import { cryptsetupOpens, dumpVolumeKey, FAST_PBKDF2, makeFiles } from '../kit/headers.js';
import { mustLuksfuse } from '../kit/luksfuse.js';
import { qemuIo } from '../kit/qemu.js';
import { skipUnless } from '../kit/requirements.js';

const skip = skipUnless({ root: true, loop: true, tools: ['cryptsetup'] });

/** `name: value` lines of luksDump. */
async function luksDump(header: string): Promise<string> {
  return (await cryptsetup('luksDump', header)).stdout.toString();
}

for (const kind of VOLUME_KINDS) {
  t.test(`format: ${nameOf(kind)}`, { skip }, async (t) => {
    const { header, payload, keyFile, passphrase } = await makePlace(t, kind);
    const before = hashOf(payload);
    const place = kind.isAttached ? [payload] : ['--header', header, payload];
    const made = await json(['format', '--type', kind.type, ...FAST_PBKDF2, '-d', keyFile, ...place]);
    t.match(made, { uuid: /^[0-9a-f]{8}-/, header, payload });
    t.strictSame(Object.keys(made), ['uuid', 'header', 'payload']);
    await bothOpen(t, header, passphrase, 0, 'as made');
    t.equal((await cryptsetup('luksUUID', header)).stdout.toString().trim(), made.uuid);
    if (!kind.isAttached) t.equal(hashOf(payload), before, 'no byte of the payload has changed');
    const again = ['format', '--type', kind.type, ...FAST_PBKDF2, '-d', keyFile, ...place];
    const message = /holds a LUKS header; .* --batch-mode/;
    await refuses(t, again, { exit: 1, code: 'BAD_ARGUMENT', message }, [header, payload]);
    await says(t, [...again, '-q'], '');
    t.not(
      (await cryptsetup('luksUUID', header)).stdout.toString().trim(),
      made.uuid,
      'with -q it is replaced',
    );
  });
}

t.test('format: every option ends up in the header, as cryptsetup reads it', { skip }, async (t) => {
  const files = makeFiles(t);
  fs.truncateSync(files.payload, 4 * 1024 * 1024);
  const uuid = 'ABCDEF01-2345-6789-abcd-ef0123456789';
  const luks2 = [
    ['--cipher', 'aes-cbc-essiv:sha256', '--key-size', '128', '--hash', 'sha512', '--sector-size', '1024'],
    ['--offset', '2048', '--uuid', uuid, '--label', 'my label', '--subsystem', 'my subsystem'],
    ['--luks2-metadata-size', '64K', '--luks2-keyslots-size', '768k', '--key-slot', '3'],
    ['--pbkdf', 'argon2i', '--pbkdf-memory', '64', '--pbkdf-parallel', '2', '--pbkdf-force-iterations', '5'],
    ['--keyslot-cipher', 'aes-cbc-plain64', '--keyslot-key-size', '256'],
  ].flat();
  await says(t, ['format', ...luks2, '-d', files.keyFile, '--header', files.header, files.payload], '');
  const dump = await luksDump(files.header);
  for (const line of [
    /^UUID:\s+abcdef01-2345-6789-abcd-ef0123456789$/m,
    /^Label:\s+my label$/m,
    /^Subsystem:\s+my subsystem$/m,
    /^Metadata area:\s+65536 /m,
    /^Keyslots area:\s+786432 /m,
    /^\s+offset: 1048576 \[bytes\]$/m,
    /^\s+cipher: aes-cbc-essiv:sha256$/m,
    /^\s+sector: 1024 \[bytes\]$/m,
    /^\s+3: luks2\n\s+Key:\s+128 bits/m,
    /^\s+PBKDF:\s+argon2i\n\s+Time cost:\s+5\n\s+Memory:\s+64\n\s+Threads:\s+2$/m,
    /^\s+Cipher:\s+aes-cbc-plain64\n\s+Cipher key:\s+256 bits$/m,
    /^\s+AF hash:\s+sha512$/m,
  ]) {
    t.match(dump, line);
  }
  await bothOpen(t, files.header, files.passphrase, 3, 'LUKS2');

  const luks1 = ['--type', 'luks1', '--cipher', 'aes-cbc-plain', '--key-size', '256', '--hash', 'sha1'];
  const more = ['--uuid', uuid, '--offset', '4096', '--key-slot', '7', ...FAST_PBKDF2];
  await says(
    t,
    ['format', '-q', ...luks1, ...more, '--header', files.header, files.payload, files.keyFile],
    '',
  );
  const dump1 = await luksDump(files.header);
  for (const line of [
    /^Cipher name:\s+aes$/m,
    /^Cipher mode:\s+cbc-plain$/m,
    /^Hash spec:\s+sha1$/m,
    /^MK bits:\s+256$/m,
    /^Payload offset:\s+4096$/m,
    /^Key Slot 7: ENABLED$/m,
  ]) {
    t.match(dump1, line);
  }
  await bothOpen(t, files.header, files.passphrase, 7, 'LUKS1');
});

t.test('format: the key size follows the cipher, and a volume key can be given', { skip }, async (t) => {
  const files = makeFiles(t);
  const keyFile = path.join(files.dir, 'volume-key');
  const volumeKey = randomBytes(32);
  fs.writeFileSync(keyFile, volumeKey);
  const place = [...FAST_PBKDF2, '-d', files.keyFile, '--header', files.header, files.payload];
  await says(t, ['luksFormat', '--volume-key-file', keyFile, ...place], '');
  t.strictSame(await dumpVolumeKey(files), volumeKey);
  await says(t, ['luksFormat', '-q', '--cipher', 'aes-cbc-essiv:sha256', ...place], '');
  t.equal((await dumpVolumeKey(files)).length, 32);
  await says(t, ['luksFormat', '-q', ...place], '');
  t.equal((await dumpVolumeKey(files)).length, 64, 'XTS has two');
});

t.test('format: the time that an unlock takes is measured', { skip }, async (t) => {
  const files = makeFiles(t);
  const place = ['-d', files.keyFile, '--header', files.header, files.payload];
  await says(t, ['format', '--iter-time', '150', '--pbkdf-memory', '65536', ...place], '');
  t.match(await luksDump(files.header), /PBKDF:\s+argon2id/);
  const { elapsedMs } = await mustLuksfuse(['test-key', '-d', files.keyFile, files.header]);
  t.ok(elapsedMs < 5000);
  await bothOpen(t, files.header, files.passphrase, 0, 'measured');
});

t.test('format: what cannot be is refused, and nothing is made or changed', { skip }, async (t) => {
  const files = makeFiles(t);
  const { dir, header, payload, keyFile } = files;
  const place = [...FAST_PBKDF2, '-q', '-d', keyFile];
  const detached = [...place, '--header', header, payload];
  const cases: [string[], number, string, RegExp][] = [
    [[...place, '--header', payload, payload], 1, 'BAD_ARGUMENT', /is the payload itself; give another file/],
    [[...place, payload], 1, 'BAD_ARGUMENT', /needs a detached header/],
    [['--offset', '2048', ...detached], 1, 'BAD_ARGUMENT', /data would begin at 1 MiB/],
    [['--offset', '64', ...detached], 1, 'BAD_ARGUMENT', /give a larger --offset, or none/],
    [['--type', 'luks1', '--offset', '8', ...detached], 1, 'BAD_ARGUMENT', /give a larger --offset/],
    [['--key-size', '0', ...detached], 1, 'BAD_ARGUMENT', /--key-size 0 .*multiple of 8/],
    [['--key-size', '128', ...detached], 4, 'UNSUPPORTED', /keys of 256/],
    [['--cipher', 'rot13-xts-plain64', ...detached], 4, 'UNSUPPORTED', /rot13/],
    [['--sector-size', '513', ...detached], 4, 'UNSUPPORTED', /512, 1024, 2048 and 4096/],
    [['--luks2-keyslots-size', 'big', ...detached], 1, 'BAD_ARGUMENT', /K, M, G or T/],
    [['--type', 'luks1', ...detached, '--pbkdf', 'argon2id'], 1, 'BAD_ARGUMENT', /pbkdf2/],
    [['--volume-key-file', keyFile, '--key-size', '512', ...detached], 1, 'BAD_ARGUMENT', /16 bytes, not 64/],
    [
      ['--volume-key-file', '-', ...place, '-d', '-', '--header', header, payload],
      1,
      'BAD_ARGUMENT',
      /two key files/,
    ],
    [[...place, '--header', `${dir}/none/header`, payload], 4, 'DEVICE_IO', /cannot make the header file/],
    [
      ['--wipe', ...detached.filter((arg) => arg !== '-q')],
      1,
      'BAD_ARGUMENT',
      /filled with noise.*--batch-mode/,
    ],
  ];
  for (const [args, exit, code, message] of cases) {
    await refuses(t, ['format', ...args], { exit, code, message }, [header, payload]);
  }
  t.strictSame(fs.readdirSync(dir).sort(), ['key', 'payload'], 'no file is left');
});

t.test("format: whatever is in the header's place is asked about first", { skip }, async (t) => {
  const { header, payload, keyFile, dir } = makeFiles(t);
  fs.truncateSync(payload, 18 * 1024 * 1024);
  const args = ['format', ...FAST_PBKDF2, '-d', keyFile];
  const refusal = (message: RegExp) => ({ exit: 1, code: 'BAD_ARGUMENT', message });
  await refuses(t, [...args, payload], refusal(/holds data, which the header will overwrite/), [payload]);
  const xfs = path.join(dir, 'xfs');
  fs.writeFileSync(xfs, 'XFSB');
  await refuses(t, [...args, '--header', xfs, payload], refusal(/holds an XFS file system/), [xfs]);
  fs.writeFileSync(header, Buffer.alloc(100));
  await says(t, [...args, '--header', header, payload], '');
});

t.test('format: a device too small for the header keeps what it has', { skip }, async (t) => {
  const kind = { type: 'luks2', isAttached: false, isBlockDevice: true } as const;
  const { header, payload, keyFile } = await makePlace(t, kind);
  const message = /the header takes 32 MiB; use a larger device/;
  const args = ['format', '-q', ...FAST_PBKDF2, '-d', keyFile, '--header', header, payload];
  const sizes = ['--luks2-metadata-size', '4M', '--luks2-keyslots-size', '24M'];
  await refuses(t, [...args, ...sizes], { exit: 1, code: 'BAD_ARGUMENT', message }, [header]);
});

/** Far beyond chance: 6 standard deviations of each byte value's count. */
function looksRandom(bytes: Buffer): boolean {
  const counts = new Array<number>(256).fill(0);
  for (const byte of bytes) counts[byte]! += 1;
  const expected = bytes.length / 256;
  return counts.every((count) => Math.abs(count - expected) < 6 * Math.sqrt(expected));
}

t.test(
  "format --wipe: the payload is noise, to its last byte and from the data's beginning",
  { skip },
  async (t) => {
    const { header, payload, keyFile } = makeFiles(t);
    const sizeBytes = 2 * 1024 * 1024 + 512;
    const offsetBytes = 2048 * 512;
    fs.writeFileSync(payload, Buffer.alloc(sizeBytes, 'text '));
    const args = [
      '--wipe',
      '-q',
      '--offset',
      '2048',
      ...FAST_PBKDF2,
      '-d',
      keyFile,
      '--header',
      header,
      payload,
    ];
    await says(t, ['format', ...args], '');
    const [first, noise] = [0, offsetBytes].map((start) => fs.readFileSync(payload).subarray(start));
    t.equal(
      first!.subarray(0, offsetBytes).toString('latin1', 0, 10),
      'text text ',
      'what lies before stays',
    );
    t.equal(noise!.length, sizeBytes - offsetBytes);
    t.ok(looksRandom(noise!));
    t.ok(looksRandom(noise!.subarray(-64 * 1024)), 'the end too');
    await says(t, ['format', ...args], '');
    const other = fs.readFileSync(payload).subarray(offsetBytes);
    t.notOk(other.equals(noise!), 'and other noise each time');
  },
);

t.test('format: headers themselves show nothing but their metadata', { skip }, async (t) => {
  const { header, payload, keyFile } = makeFiles(t);
  await says(t, ['format', ...FAST_PBKDF2, '-d', keyFile, '--header', header, payload], '');
  t.ok(looksRandom(fs.readFileSync(header).subarray(32768)), 'free keyslots look like used ones');
});

t.test(
  'QEMU reads and writes a LUKS1 volume of ours',
  { skip: skip || skipUnless({ tools: ['qemu-io'] }) },
  async (t) => {
    const { payload, keyFile } = makeFiles(t, Buffer.from('a text'));
    fs.writeFileSync(payload, '');
    fs.truncateSync(payload, 4 * 1024 * 1024);
    await says(t, ['format', '--type', 'luks1', ...FAST_PBKDF2, '-d', keyFile, payload], '');
    await qemuIo(payload, keyFile, ['write -P 0x5a 4096 8192', 'read -P 0x5a 4096 8192']);
    const { stdout } = await mustLuksfuse([
      'cat',
      '-d',
      keyFile,
      '--offset',
      '4096',
      '--length',
      '8192',
      payload,
    ]);
    t.strictSame(stdout, Buffer.alloc(8192, 0x5a), 'and we read what QEMU wrote');
    t.equal(await cryptsetupOpens(payload, Buffer.from('a text')), 0);
  },
);
