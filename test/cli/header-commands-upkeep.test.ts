/**
 * The commands that keep a header well, and tokens: results and refusals, with cryptsetup reading what they leave.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cryptsetup, writeAt } from '../kit/cryptsetup.js';
import {
  bothOpen,
  json,
  keyFileOf,
  makeVolume,
  nameOf,
  refuses,
  says,
  VOLUME_KINDS,
} from '../kit/header-commands.js';
import { FAST_PBKDF2, formatHeader, makeFiles } from '../kit/headers.js';
import { luksfuse, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';

const skip = skipUnless({ root: true, loop: true, tools: ['cryptsetup'] });
const skipMount = skip || skipUnless({ fuse: true });
const BLOCK = VOLUME_KINDS.find(({ type, isBlockDevice }) => type === 'luks2' && isBlockDevice)!;
/** Each type, place of the header and kind of device once. */
const SOME_KINDS = VOLUME_KINDS.filter(
  (kind) => kind === BLOCK || (kind.type === 'luks1' && !kind.isBlockDevice && !kind.isAttached),
);
const WRONG = (message: RegExp) => ({ exit: 1, code: 'BAD_ARGUMENT', message });

async function luksDump(header: string): Promise<string> {
  return (await cryptsetup('luksDump', header)).stdout.toString();
}

t.test('config: names, flags and priorities, as cryptsetup reads them', { skip }, async (t) => {
  const { header, keyFile, passphrase } = await makeVolume(t, BLOCK, 'cryptsetup');
  const names = { label: 'größe', subsystem: 'sub' };
  t.strictSame(await json(['config', header, '--label', names.label, '--subsystem', names.subsystem]), {
    header,
    ...names,
  });
  await says(t, ['config', header, '--flag', 'allow-discards', '--flag', 'no-read-workqueue'], '');
  t.strictSame(await json(['config', '--header', header, header, '-S', '0', '--priority', 'prefer']), {
    header,
    priorities: [{ keyslot: 0, priority: 'prefer' }],
  });
  const dump = await luksDump(header);
  t.match(dump, /^Label:\s+größe$/m);
  t.match(dump, /^Subsystem:\s+sub$/m);
  t.match(dump, /^Flags:\s+allow-discards no-read-workqueue\s*$/m);
  t.match(dump, /^\s+Priority:\s+preferred$/m);
  await bothOpen(t, header, passphrase, 0, 'configured');
  await says(t, ['config', header, '--label', '', '--clear-flags'], '');
  t.match(await luksDump(header), /^Label:\s+\(no label\)$/m);
  t.match(await luksDump(header), /^Flags:\s+\(no flags\)$/m);
  await cryptsetup('config', '--label', 'theirs', '--priority', 'ignore', '--key-slot', '0', header);
  const { label, keyslots } = await json(['dump', header]);
  t.match({ label, priority: keyslots[0].priority }, { label: 'theirs', priority: 'ignored' });

  await refuses(t, ['config', header], WRONG(/nothing to change; give --label/), [header]);
  await refuses(t, ['config', header, '-S', '0'], WRONG(/belong together; give both/), [header]);
  await refuses(t, ['config', header, '-S', '3', '--priority', 'prefer'], WRONG(/keyslot 3 is not active/), [
    header,
  ]);
  await refuses(t, ['config', header, '-S', '0', '--priority', 'first'], WRONG(/ignore, normal, prefer/), [
    header,
  ]);
  await refuses(t, ['config', header, '--label', 'x'.repeat(48)], WRONG(/47 bytes/), [header]);
  await refuses(t, ['config', header, '--flag', 'x', '--clear-flags'], WRONG(/exclude each other/), [header]);
  await says(t, ['test-key', header, '-S', '0', '-d', keyFile], 'Keyslot 0 opens.');
});

t.test('what LUKS1 has no place for is refused', { skip }, async (t) => {
  const { header } = await formatHeader(t, 'luks1');
  const message = /LUKS1 has no place for it; convert to LUKS2 first/;
  await refuses(t, ['config', header, '--label', 'x'], WRONG(message), [header]);
  await refuses(t, ['token', 'add', header, '--key-description', 'x'], WRONG(message), [header]);
  await refuses(t, ['token', 'remove', header, '--token-id', '0'], WRONG(message), [header]);
  t.strictSame(await json(['token', 'list', header]), { tokens: [] });
});

for (const kind of SOME_KINDS) {
  t.test(`convert, there and back: ${nameOf(kind)}`, { skip }, async (t) => {
    const { header, passphrase } = await makeVolume(t, kind, kind.isAttached ? 'cryptsetup' : 'luksfuse');
    const other = kind.type === 'luks1' ? 'luks2' : 'luks1';
    const already = WRONG(new RegExp(`LUKS${kind.type.at(-1)} already`));
    await refuses(t, ['convert', header, '--type', kind.type, '-q'], already, [header]);
    await refuses(t, ['convert', header, '--type', other], WRONG(/back it up first.* --batch-mode/), [
      header,
    ]);
    for (const type of [other, kind.type]) {
      t.strictSame(await json(['convert', header, '--type', type, '-q']), { header, type });
      await bothOpen(t, header, passphrase, 0, type);
      t.match(await luksDump(header), new RegExp(`^Version:\\s+${type.at(-1)}$`, 'm'));
    }
  });
}

t.test('convert: why not, and what to do', { skip }, async (t) => {
  const { header } = await formatHeader(t, 'luks2', '--sector-size', '4096');
  const sectors = WRONG(/only has 512-byte sectors, and this payload has sectors of 4096/);
  await refuses(t, ['convert', header, '--type', 'luks1', '-q'], sectors, [header]);
  await refuses(t, ['convert', header, '-q'], WRONG(/--type/), [header]);
});

t.test('tokens: ours in cryptsetup and the other way round', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const { header, dir } = files;
  await mustLuksfuse(['add-key', header, ...FAST_PBKDF2, '-d', files.keyFile, keyFileOf(files, 'second')]);
  const add = (...args: string[]) => json(['token', 'add', header, '--key-description', ...args]);
  t.strictSame(await add('all'), { tokenId: 0 });
  t.strictSame(await add('one', '-S', '1', '--token-id', '7'), { tokenId: 7 });
  t.strictSame(await add('none', '--unbound'), { tokenId: 1 });
  await cryptsetup('token', 'add', '--key-description', 'theirs', '--token-id', '2', header);
  const keyring = (key_description: string, ...keyslots: string[]) => ({
    type: 'luks2-keyring',
    keyslots,
    key_description,
  });
  t.strictSame(await json(['token', 'list', header]), {
    tokens: [
      { id: 0, ...keyring('all', '0', '1') },
      { id: 1, ...keyring('none') },
      { id: 2, ...keyring('theirs', '0', '1') },
      { id: 7, ...keyring('one', '1') },
    ],
  });
  t.match(
    await luksDump(header),
    /0: luks2-keyring\n\s+Key description: all\n\s+Keyslot:\s+0\n\s+Keyslot:\s+1/,
  );
  t.match(
    (await mustLuksfuse(['dump', header])).stdout.toString(),
    /Token 7\n.*\n.*\n\s+key_description: one/,
  );
  t.match(
    (await mustLuksfuse(['token', 'list', header])).stdout.toString(),
    /^1 {2}luks2-keyring {2}keyslots: none$/m,
  );

  const exported = path.join(dir, 'token.json');
  await says(t, ['token', 'export', header, '--token-id', '7', '--json-file', exported], '');
  t.strictSame(JSON.parse(fs.readFileSync(exported, 'utf8')), keyring('one', '1'));
  t.strictSame(await json(['token', 'export', header, '--token-id', '7']), keyring('one', '1'));
  await says(t, ['token', 'remove', header, '--token-id', '7'], 'Token 7 removed.');
  await cryptsetup('token', 'import', '--json-file', exported, '--token-id', '7', header);
  await cryptsetup('token', 'remove', '--token-id', '7', header);
  const foreign = { type: 'acme-vault', keyslots: ['0'], nested: { list: [1, 'two', null] } };
  const input = Buffer.from(JSON.stringify(foreign));
  t.strictSame(await json(['token', 'import', header], { input }), { tokenId: 3 });
  t.strictSame(await json(['token', 'import', header, '--json-file', exported]), { tokenId: 4 });
  const theirs = await cryptsetup('token', 'export', '--token-id', '3', header);
  t.strictSame(JSON.parse(theirs.stdout.toString()), foreign, 'unknown types as they are');
  await bothOpen(t, header, 'second', 1, 'with tokens');

  const bad = path.join(dir, 'bad.json');
  const malformed: [string | Buffer, RegExp][] = [
    ['{"type":', /this is no token: .*malformed/],
    ['[]', /this is no token: .*not an object/],
    ['{'.repeat(1000), /this is no token: .*nested deeper/],
    ['{}', /no type/],
    ['{"type":"x","keyslots":["9"]}', /refers to keyslot 9/],
    [JSON.stringify({ ...foreign, bulk: 'x'.repeat(13000) }), /metadata needs .* remove tokens/],
  ];
  for (const [text, message] of malformed) {
    fs.writeFileSync(bad, text);
    await refuses(t, ['token', 'import', header, '--json-file', bad], WRONG(message), [header]);
  }
  const refused: [string[], RegExp][] = [
    [['import', header, '--json-file', `${dir}/none`], /cannot read the token/],
    [['export', header, '--token-id', '0', '--json-file', exported], /cannot write the token/],
    [['export', header, '--token-id', '9'], /there is no token 9; see: luksfuse token list/],
    [['remove', header], /give --token-id/],
    [['remove', header, '--token-id', '9'], /token 9 does not exist; see/],
    [['add', header], /--key-description/],
    [['add', header, '--key-description', 'x', '--token-id', '0'], /token 0 is in use/],
    [['add', header, '--key-description', 'x', '-S', '0', '--unbound'], /exclude each other/],
    [['frob', header], /unknown command 'frob'; see --help/],
  ];
  for (const [args, message] of refused) await refuses(t, ['token', ...args], WRONG(message), [header]);
});

for (const kind of SOME_KINDS) {
  t.test(`header-backup and header-restore: ${nameOf(kind)}`, { skip }, async (t) => {
    const files = await makeVolume(t, kind, kind.isAttached ? 'luksfuse' : 'cryptsetup');
    const { header, keyFile, passphrase, dir } = files;
    const backup = path.join(dir, 'backup');
    const theirs = path.join(dir, 'theirs');
    const { uuid } = await json(['uuid', header]);
    t.strictSame(await json(['header-backup', header, backup]), { uuid, backup });
    await cryptsetup('luksHeaderBackup', '--header-backup-file', theirs, header);
    await bothOpen(t, backup, passphrase, 0, 'the backup itself');
    await refuses(t, ['header-backup', header, backup], WRONG(/exists, .* give another name/), [backup]);
    await refuses(t, ['header-backup', header], WRONG(/give it as the second argument/), [header]);
    await mustLuksfuse(['add-key', header, ...FAST_PBKDF2, '-d', keyFile, keyFileOf(files, 'since')]);

    const asked = WRONG(/will be replaced by .*\n {2}keyslots: 0, 1 → 0, and .* --batch-mode/);
    await refuses(t, ['header-restore', header, backup], asked, [header]);
    const restored = await json(['header-restore', header, backup, '-q']);
    t.match(restored, {
      header,
      differences: ['keyslots: 0, 1 → 0'],
      replaced: /backup\.replaced-\d{8}T\d{6}$/,
    });
    await bothOpen(t, header, passphrase, 0, 'restored');
    await bothOpen(t, header, 'since', null, 'restored');
    await bothOpen(t, restored.replaced, 'since', 1, 'the replaced header is kept');
    fs.rmSync(restored.replaced);
    const viaAlias = await luksfuse(['luksHeaderRestore', header, '--header-backup-file', theirs, '-q']);
    t.match(viaAlias.stdout.toString(), /^The replaced header is kept in .*theirs\.replaced-/);
    await bothOpen(t, header, passphrase, 0, "restored from cryptsetup's backup");
    await cryptsetup('luksHeaderRestore', '--header-backup-file', backup, header);
    await bothOpen(t, header, passphrase, 0, 'cryptsetup restores ours');
  });
}

t.test('header-restore: what may be a mistake is refused', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const other = await formatHeader(t, 'luks2');
  const backup = path.join(files.dir, 'backup');
  await says(t, ['luksHeaderBackup', '--header-backup-file', backup, files.header], '');
  const restore = (target: string, ...args: string[]) => ['header-restore', target, backup, '-q', ...args];
  const uuids = WRONG(/the UUID of the backup is [-0-9a-f]+, that of the device [-0-9a-f]+; give --force/);
  await refuses(t, restore(other.header), uuids, [other.header, backup]);
  await refuses(t, restore(files.payload), WRONG(/no readable LUKS header now; give --force/), [
    files.payload,
  ]);
  const { replaced } = await json(restore(other.header, '--force'));
  await bothOpen(t, other.header, files.passphrase, 0, 'forced');
  await bothOpen(t, replaced, other.passphrase, 0, 'and the replaced header kept');
  writeAt(backup, randomBytes(4096), 40000);
  const damaged = {
    exit: 4,
    code: 'HEADER_CORRUPT',
    message: /its checksum does not match; use another copy/,
  };
  await refuses(t, restore(files.header), damaged, [files.header]);
  fs.truncateSync(backup, 5000);
  const cut = { exit: 4, code: 'HEADER_CORRUPT', message: /truncated|damaged/ };
  await refuses(t, restore(files.header), cut, [files.header]);
  const none = { exit: 4, code: 'DEVICE_IO', message: /cannot open/ };
  await refuses(t, ['header-restore', files.header, `${files.dir}/none`, '-q'], none, [files.header]);
  const plain = { exit: 4, code: 'NOT_LUKS', message: /carries no LUKS header/ };
  await refuses(t, ['header-restore', files.header, files.payload, '-q', '--force'], plain, [files.header]);
});

t.test('a mount straight from a backup', { skip: skipMount }, async (t) => {
  const files = makeFiles(t);
  const { header, payload, keyFile, dir } = files;
  await says(t, ['format', ...FAST_PBKDF2, '-d', keyFile, '--header', header, payload], '');
  const before = (await mustLuksfuse(['cat', '--header', header, '-d', keyFile, payload])).stdout;
  const backup = path.join(dir, 'backup');
  await says(t, ['header-backup', header, backup], '');
  fs.rmSync(header);
  const { file, umount } = await mountVolume(t, { header: backup, payload, keyFile });
  t.strictSame(fs.readFileSync(file), before);
  await umount();
});

t.test('repair: what can be put right is, and said', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const { header, passphrase } = files;
  t.strictSame(await json(['repair', header, '-q']), { header, repairs: [] });
  await says(t, ['repair', header, '-q'], 'Nothing to repair.');
  writeAt(header, Buffer.alloc(4096), 0);
  const gone = {
    exit: 4,
    code: 'HEADER_CORRUPT',
    message: /primary copy of the header is gone.*run repair first/,
  };
  await refuses(t, ['config', header, '--label', 'x'], gone, [header]);
  await refuses(t, ['repair', header], WRONG(/will be repaired .* --batch-mode/), [header]);
  t.match(await json(['repair', header, '-q']), { repairs: [/^primary copy, which was absent/] });
  await bothOpen(t, header, passphrase, 0, 'repaired');
  writeAt(header, Buffer.from('XFSB'), 0);
  await refuses(t, ['repair', header, '-q'], WRONG(/there is an XFS file system; give --force only if/), [
    header,
  ]);
  t.match((await mustLuksfuse(['repair', header, '-q', '--force'])).stdout.toString(), /^primary copy/);
  writeAt(header, Buffer.alloc(4096), 0);
  writeAt(header, Buffer.alloc(4096), 16384);
  const lost = { exit: 4, code: 'NOT_LUKS', message: /carries no LUKS header/ };
  await refuses(t, ['repair', header, '-q'], lost, [header]);
});

t.test('dump shows what luksDump shows, and each error has its exit code', { skip }, async (t) => {
  const { header, keyFile, payload, dir } = await formatHeader(t, 'luks2', '--label', 'my label');
  const text = (await mustLuksfuse(['luksDump', header])).stdout.toString();
  const theirs = await luksDump(header);
  const asHex = (name: string) => [...theirs.matchAll(new RegExp(`${name}:((?:\\s+[0-9a-f]{2})+)`, 'g'))];
  const bytes = ['Salt', 'Digest'].flatMap((name) =>
    asHex(name).map((match) => match[1]!.replace(/\s/g, '')),
  );
  t.equal(bytes.length, 3);
  for (const hex of bytes) t.match(text, hex);
  t.match(text, /^ {2}label: +my label$/m);
  t.match(text, /Layout of the header\n +0 … /);
  const { stdout } = await cryptsetup('luksUUID', header);
  await says(t, ['luksUUID', header], stdout.toString().trim());
  await says(t, ['isLuks', header], '');
  t.equal((await luksfuse(['is-luks', payload])).code, 4);
  const plain: [string[], number, RegExp][] = [
    [['dump', payload], 4, /^luksfuse: dump: .* carries no LUKS header\n$/],
    [['dump', dir], 1, /^luksfuse: dump: .* neither a regular file nor a block device.*\n$/],
    [['dump', `${dir}/none`], 4, /^luksfuse: dump: cannot open .*\n$/],
    [['dump'], 1, /^luksfuse: dump: no header is given; name its file, or - for standard input\n$/],
    [['erase'], 1, /^luksfuse: erase: missing required argument 'header'; see --help\n$/],
    [['token'], 1, /^luksfuse: token: which of its commands is not said; see --help\n$/],
    [['dump', '--frob', header], 1, /^luksfuse: dump: unknown option '--frob'; see --help\n$/],
    [
      ['test-key', header, '-d', payload],
      2,
      /^luksfuse: test-key: this passphrase opens no keyslot of .*\n$/,
    ],
    [['test-key', header, '-d', keyFile, '--volume-key-file', keyFile], 1, /exclude each other; give one\n$/],
  ];
  for (const [args, exit, message] of plain) {
    const { code, stdout: said, stderr } = await luksfuse(args);
    t.equal(code, exit, args.join(' '));
    t.equal(said.toString(), '');
    t.match(stderr, message);
  }
});
