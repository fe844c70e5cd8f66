/**
 * Headers as cryptsetup writes them: what we read in them against what it says of them, in every shape and
 * state that a header can be found in.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { describeHeader, headerText } from '../../lib/format/describe.js';
import { isLuks } from '../../lib/format/header.js';
import { requireNoUnknownRequirements, requireReadablePayload } from '../../lib/format/requirements.js';
import { cryptsetup } from '../kit/cryptsetup.js';
import { FAST_PBKDF2, formatHeader, read, withDevice } from '../kit/headers.js';
import { fixChecksum, hdrSizeOf, withJson } from '../kit/luks2-image.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ tools: ['cryptsetup'] });

/** `name: value` lines of luksDump, continuation lines joined, white space out. */
async function luksDump(file: string): Promise<Record<string, string>> {
  const text = (await cryptsetup('luksDump', file)).stdout.toString().replace(/\n\s+([0-9a-f]{2} )/g, '$1');
  const lines = text.split('\n').map((line) => /^\s*([^:]+):\s*(.*?)\s*$/.exec(line));
  return Object.fromEntries(lines.flatMap((match) => (match ? [[match[1]!, match[2]!]] : [])));
}

const unspaced = (text: string | undefined) => text?.replace(/\s/g, '');

t.test('LUKS1: every field of luksDump', { skip }, async (t) => {
  const variants = [
    ['--cipher', 'aes-xts-plain64', '--key-size', '512', '--hash', 'sha512'],
    ['--cipher', 'aes-cbc-essiv:sha256', '--key-size', '256', '--hash', 'sha1', '--offset', '4096'],
  ];
  for (const args of variants) {
    const { header: file } = await formatHeader(t, 'luks1', ...args);
    const header = await read(file);
    const dump = await luksDump(file);
    const [segment, keyslot, digest] = [header.segments[0]!, header.keyslots.get(0)!, header.digests.get(0)!];
    t.equal(segment.encryption, `${dump['Cipher name']}-${dump['Cipher mode']}`);
    t.equal(segment.offsetBytes, Number(dump['Payload offset']) * 512);
    t.equal(digest.hash, dump['Hash spec']);
    t.equal(keyslot.keySizeBytes * 8, Number(dump['MK bits']));
    t.equal(digest.digest.toString('hex'), unspaced(dump['MK digest']));
    t.equal(digest.salt.toString('hex'), unspaced(dump['MK salt']));
    t.equal(digest.iterations, Number(dump['MK iterations']));
    t.equal(header.uuid, dump.UUID);
    t.equal(keyslot.kdf!.salt.toString('hex'), unspaced(dump.Salt));
    t.equal(keyslot.area!.offsetBytes, Number(dump['Key material offset']) * 512);
    const fileBytes = segment.offsetBytes || header.headerSizeBytes;
    t.equal(fs.statSync(file).size, fileBytes, 'cryptsetup makes the file as large');
  }
});

t.test('LUKS2: the metadata of luksDump, and the binary header', { skip }, async (t) => {
  const variants = [
    ['--label', 'my label', '--subsystem', 'a subsystem', '--sector-size', '512'],
    ['--pbkdf', 'argon2id', '--pbkdf-memory', '32', '--pbkdf-force-iterations', '4', '--sector-size', '4096'],
    ['--cipher', 'aes-cbc-essiv:sha256', '--key-size', '256', '--hash', 'sha512', '--offset', '8192'],
    ['--luks2-metadata-size', '128k', '--luks2-keyslots-size', '1m', '--label', 'größer'],
  ];
  for (const args of variants) {
    const { header: file } = await formatHeader(t, 'luks2', ...args);
    const key = path.join(path.dirname(file), 'key');
    await cryptsetup('luksAddKey', ...FAST_PBKDF2, '--key-file', key, file, key);
    await cryptsetup('config', '--key-slot', '1', '--priority', 'prefer', file);
    await cryptsetup('token', 'add', '--key-description', 'desc', '--key-slot', '1', file);
    const before = fs.readFileSync(file);
    const header = await read(file);
    t.strictSame(fs.readFileSync(file), before, 'reading writes nothing');
    const { stdout } = await cryptsetup('luksDump', '--dump-json-metadata', file);
    t.strictSame(header.document, JSON.parse(stdout.toString()));
    const dump = await luksDump(file);
    t.equal(header.uuid, dump.UUID);
    t.equal(header.label, dump.Label === '(no label)' ? '' : dump.Label);
    t.equal(header.subsystem, dump.Subsystem === '(no subsystem)' ? '' : dump.Subsystem);
    t.match(header.disk, {
      version: 2,
      seqid: BigInt(dump.Epoch!),
      hdrSizeBytes: Number.parseInt(dump['Metadata area']!, 10),
      copyRead: 'primary',
      primary: { state: 'valid' },
      secondary: { state: 'valid' },
    });
    t.equal(header.config.keyslotsSizeBytes, Number.parseInt(dump['Keyslots area']!, 10));
    t.equal(header.keyslots.get(1)!.priority, 2);
    t.match(header.tokens.get(0), { type: 'luks2-keyring', keyslots: [1] });
    t.match(JSON.parse(JSON.stringify(describeHeader(header))), { uuid: header.uuid, version: 2 });
    t.match(headerText(header), header.uuid);
  }
});

t.test('a dead primary: the secondary is found at each place it can be', { skip }, async (t) => {
  for (const kib of [16, 32, 64, 128, 256, 512, 1024, 2048, 4096]) {
    const sizes = ['--luks2-metadata-size', `${kib}k`, '--luks2-keyslots-size', '1m'];
    const { header: file } = await formatHeader(t, 'luks2', ...sizes);
    const good = await read(file);
    const image = fs.readFileSync(file);
    image.fill(0, 0, 4096);
    fs.writeFileSync(file, image);
    t.ok(await withDevice(file, isLuks), `${kib} KiB`);
    const header = await read(file);
    t.strictSame(header.document, good.document);
    t.match(header.disk, {
      copyRead: 'secondary',
      primary: { state: 'absent' },
      secondary: { state: 'valid', offsetBytes: kib * 1024 },
    });
    fs.rmSync(file);
  }
});

t.test('the copy with the higher seqid counts', { skip }, async (t) => {
  const { header: file } = await formatHeader(t, 'luks2');
  const image = fs.readFileSync(file);
  const older = Buffer.from(image);
  older.writeBigUInt64BE(1n, 16);
  fixChecksum(older, 0);
  fs.writeFileSync(file, older);
  t.match((await read(file)).disk, { copyRead: 'secondary', seqid: 3n, primary: { state: 'obsolete' } });
  const newer = Buffer.from(image);
  newer.writeBigUInt64BE(9n, 16);
  fixChecksum(newer, 0);
  fs.writeFileSync(file, newer);
  t.match((await read(file)).disk, { copyRead: 'primary', seqid: 9n, secondary: { state: 'obsolete' } });
});

t.test('checksums by other hashes', { skip }, async (t) => {
  const { header: file } = await formatHeader(t, 'luks2');
  const image = fs.readFileSync(file);
  for (const offsetBytes of [0, hdrSizeOf(image)]) {
    image.fill(0, offsetBytes + 72, offsetBytes + 104);
    image.write('sha512', offsetBytes + 72);
    fixChecksum(image, offsetBytes, 'sha512');
  }
  fs.writeFileSync(file, image);
  t.match((await read(file)).disk, { checksumAlgorithm: 'sha512' });
});

t.test('requirements are shown, and stop what must know them', { skip }, async (t) => {
  const { header: file } = await formatHeader(t, 'luks2');
  const image = fs.readFileSync(file);
  const requiring = async (name: string) => {
    const mandatory = [name];
    fs.writeFileSync(
      file,
      withJson(image, (json) => {
        json.config.requirements = { mandatory };
      }),
    );
    return read(file);
  };
  const unknown = await requiring('acme-magic');
  t.strictSame(unknown.config.requirements, ['acme-magic']);
  t.throws(() => requireNoUnknownRequirements(unknown, 'add a key'), {
    code: 'UNSUPPORTED',
    message: /cannot add a key: .*acme-magic/,
  });
  const reencrypting = await requiring('online-reencrypt-v2');
  t.throws(() => requireReadablePayload(reencrypting, 'mount'), {
    code: 'UNSUPPORTED',
    message: /unfinished; finish it with: luksfuse reencrypt --resume-only/,
  });
  fs.writeFileSync(file, image);
  const plain = await read(file);
  t.doesNotThrow(() => requireReadablePayload(plain, 'mount'));
});

t.test('no LUKS at all', { skip }, async (t) => {
  const dir = makeTempDir(t);
  const file = path.join(dir, 'file');
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.alloc(100),
    randomBytes(8 * 1024 * 1024),
    Buffer.from('LUKS'),
  ]) {
    fs.writeFileSync(file, bytes);
    t.notOk(await withDevice(file, isLuks));
    await t.rejects(read(file), { code: 'NOT_LUKS', message: /carries no LUKS header/ });
  }
});
