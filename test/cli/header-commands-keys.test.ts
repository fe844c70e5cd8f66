/**
 * The commands about keys, on every kind of volume: what cryptsetup made we change and it still opens, and the
 * other way round.
 */
import fs from 'node:fs';
import t from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
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
import { dumpVolumeKey, FAST_ARGON2ID, FAST_PBKDF2, formatHeader } from '../kit/headers.js';
import { mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';

const skip = skipUnless({ root: true, loop: true, tools: ['cryptsetup'] });
const CHEAP = FAST_PBKDF2;
const LAST_KEY = { exit: 1, code: 'BAD_ARGUMENT', message: /last key of the volume.*--force/ };

for (const maker of ['cryptsetup', 'luksfuse'] as const) {
  for (const [index, kind] of VOLUME_KINDS.entries()) {
    // Either maker with either type, and with either place of the header.
    if (index === 4 || (index % 2 === 0) !== (maker === 'luksfuse')) continue;
    t.test(`keys of a volume by ${maker}: ${nameOf(kind)}`, { skip }, async (t) => {
      const files = await makeVolume(t, kind, maker);
      const { header, keyFile, passphrase } = files;
      const [second, third] = ['second', 'third'].map((name) => keyFileOf(files, name)) as [string, string];
      const key = await dumpVolumeKey(files);

      const addArgs = ['add-key', header, ...CHEAP, '-d', keyFile];
      t.strictSame(await json([...addArgs, '--new-key-file', second]), { keyslot: 1 });
      await says(t, ['luksAddKey', ...addArgs.slice(1), third, '--new-key-slot', '5'], 'Keyslot 5 added.');
      await bothOpen(t, header, 'second', 1, 'add-key');
      await bothOpen(t, header, 'third', 5, 'luksAddKey');
      const taken = { exit: 1, code: 'BAD_ARGUMENT', message: /keyslot 5 is in use; choose another/ };
      await refuses(t, [...addArgs, '--new-key-slot', '5', '--new-key-file', second], taken, [header]);

      // LUKS1 keyslots cannot move: there the new key gets the first that is free.
      const changed = kind.type === 'luks2' ? 1 : 2;
      const changeArgs = [header, ...CHEAP, '-d', second, '--new-key-file', keyFileOf(files, 'changed')];
      t.strictSame(await json(['change-key', ...changeArgs]), { keyslot: changed });
      await bothOpen(t, header, 'changed', changed, 'change-key');
      await bothOpen(t, header, 'second', null, 'change-key');

      const wrong = { exit: 2, code: 'BAD_PASSPHRASE', message: /opens no keyslot of .*; check it/ };
      await refuses(t, ['remove-key', header, '-d', second], wrong, [header]);
      t.strictSame(await json(['remove-key', header, '-d', third]), { keyslot: 5 });
      await bothOpen(t, header, 'third', null, 'remove-key');
      await cryptsetup('luksAddKey', ...CHEAP, '-S', '4', '--key-file', keyFile, header, third);
      await bothOpen(t, header, 'third', 4, "cryptsetup's luksAddKey");
      t.strictSame(await json(['kill-slot', header, '4', '-q']), { keyslot: 4 });
      await says(t, ['kill-slot', `${changed}`, header, '-q'], `Keyslot ${changed} destroyed.`);
      await bothOpen(t, header, 'changed', null, 'kill-slot');
      t.strictSame(await dumpVolumeKey(files), key, 'the volume key is what it was');

      await refuses(t, ['remove-key', header, '-d', keyFile], LAST_KEY, [header]);
      await refuses(t, ['kill-slot', header, '0', '-q'], LAST_KEY, [header]);
      const inactive = {
        exit: 1,
        code: 'BAD_ARGUMENT',
        message: /keyslot 6 is not active; see: luksfuse dump/,
      };
      await refuses(t, ['kill-slot', header, '6', '-q'], inactive, [header]);
      await bothOpen(t, header, passphrase, 0, 'the last key');
      await cryptsetup('luksChangeKey', ...CHEAP, '--key-file', keyFile, header, third);
      const slot = JSON.parse(
        (await mustLuksfuse(['test-key', '--json', header, '-d', third])).stdout.toString(),
      );
      await says(t, ['remove-key', header, '-d', third, '--force'], `Keyslot ${slot.keyslot} removed.`);
      const none = { exit: 2, code: 'BAD_PASSPHRASE', message: /has no keyslots; restore a backup/ };
      await refuses(t, ['test-key', header, '-d', keyFile], none, [header]);
    });
  }
}

for (const kind of VOLUME_KINDS.slice(0, 1)) {
  t.test(`aliases and erase: ${nameOf(kind)}`, { skip }, async (t) => {
    const files = await makeVolume(t, kind, 'cryptsetup');
    const { header, payload, keyFile } = files;
    const [second, third] = [keyFileOf(files, 'second'), keyFileOf(files, 'third')];
    const material = () =>
      fs.readFileSync(header).subarray(kind.type === 'luks1' ? 4096 : 32768, 1024 * 1024);
    const before = material();
    await says(
      t,
      ['luksAddKey', '--header', header, payload, ...CHEAP, '-d', keyFile, second],
      'Keyslot 1 added.',
    );
    await says(
      t,
      ['luksChangeKey', header, ...CHEAP, '-d', second, third],
      /luks2/.test(kind.type) ? 'Keyslot 1 has the new key.' : 'Keyslot 2 has the new key.',
    );
    await says(
      t,
      ['luksRemoveKey', header, '-d', third],
      `Keyslot ${kind.type === 'luks2' ? 1 : 2} removed.`,
    );
    await says(t, ['luksAddKey', header, ...CHEAP, '-d', keyFile, second], 'Keyslot 1 added.');
    await says(t, ['luksKillSlot', header, '0', '-q'], 'Keyslot 0 destroyed.');
    await bothOpen(t, header, 'second', 1, 'luksKillSlot');
    t.notSame(
      material().subarray(0, 128 * 1024),
      before.subarray(0, 128 * 1024),
      'old material is overwritten',
    );
    const asked = { exit: 1, code: 'BAD_ARGUMENT', message: /All keyslots .* --batch-mode/ };
    await refuses(t, ['erase', header], asked, [header]);
    t.strictSame(await json(['luksErase', header, '-q']), { erased: header });
    await bothOpen(t, header, 'second', null, 'luksErase');
    const { stdout } = await cryptsetup('luksDump', header);
    t.notMatch(stdout.toString(), /ENABLED|^ +\d+: luks2$/m, 'cryptsetup sees no keyslot');
    t.equal((await mustLuksfuse(['erase', header, '-q'])).code, 0, 'again does no harm');
  });
}

t.test('new keyslots have the KDF and cipher that was asked for', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const args = ['add-key', files.header, '-d', files.keyFile, '--new-key-file', keyFileOf(files, 'x')];
  const cipher = ['--keyslot-cipher', 'aes-cbc-plain64', '--keyslot-key-size', '256'];
  t.strictSame(await json([...args, ...FAST_ARGON2ID, ...cipher]), { keyslot: 1 });
  const { keyslots } = await json(['dump', files.header]);
  t.match(keyslots[1], {
    kdf: { type: 'argon2id', time: 4, memoryKiB: 32, cpus: 1 },
    area: { encryption: 'aes-cbc-plain64', keySizeBytes: 32 },
  });
  await bothOpen(t, files.header, 'x', 1, 'asked for');
  const size = { exit: 1, code: 'BAD_ARGUMENT', message: /--keyslot-key-size 13 .*multiple of 8/ };
  await refuses(t, [...args, ...FAST_ARGON2ID, '--keyslot-key-size', '13'], size, [files.header]);
  const low = { exit: 1, code: 'BAD_ARGUMENT', message: /from 1000 to/ };
  await refuses(t, [...args, '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '999'], low, [files.header]);
  const luks1 = await formatHeader(t, 'luks1');
  const only = { exit: 1, code: 'BAD_ARGUMENT', message: /only use pbkdf2/ };
  const argon = ['add-key', luks1.header, '-d', luks1.keyFile, luks1.keyFile, ...FAST_ARGON2ID];
  await refuses(t, argon, only, [luks1.header]);
});

t.test('a volume key unlocks to add a key, and names no keyslot to remove', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const volumeKey = `${files.dir}/volume-key`;
  fs.writeFileSync(volumeKey, await dumpVolumeKey(files));
  const next = keyFileOf(files, 'next');
  const args = ['add-key', files.header, '--volume-key-file', volumeKey, ...CHEAP, next];
  t.strictSame(await json(args), { keyslot: 1 });
  await bothOpen(t, files.header, 'next', 1, 'by volume key');
  const noSlot = { exit: 1, code: 'BAD_ARGUMENT', message: /names no keyslot; .* kill-slot/ };
  for (const command of ['remove-key', 'change-key']) {
    await refuses(t, [command, files.header, '--volume-key-file', volumeKey], noSlot, [files.header]);
  }
  fs.writeFileSync(volumeKey, Buffer.alloc(64));
  const other = { exit: 2, code: 'BAD_PASSPHRASE', message: /is not that of/ };
  await refuses(t, args, other, [files.header]);
});

t.test('a keyslot can be named for unlocking; arguments that name none are refused', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks2');
  const { header, keyFile } = files;
  const other = keyFileOf(files, 'other');
  await says(t, ['add-key', header, ...CHEAP, '-S', '0', '-d', keyFile, other], 'Keyslot 1 added.');
  const misfit = { exit: 2, code: 'BAD_PASSPHRASE', message: /does not open keyslot 1 of/ };
  await refuses(t, ['remove-key', header, '-S', '1', '-d', keyFile], misfit, [header]);
  const gone = { exit: 1, code: 'BAD_ARGUMENT', message: /keyslot 9 is not active; see which are/ };
  await refuses(t, ['test-key', header, '-S', '9', '-d', keyFile], gone, [header]);
  const words = { exit: 1, code: 'BAD_ARGUMENT', message: /is a keyslot number; give one/ };
  await refuses(t, ['kill-slot', header, 'one', '-q'], words, [header]);
  const few = { exit: 1, code: 'BAD_ARGUMENT', message: /missing required argument 'n'; see --help/ };
  await refuses(t, ['kill-slot', header, '-q'], few, [header]);
  await says(t, ['config', header, '-S', '0', '--priority', 'ignore'], '');
  const ignored = { exit: 2, code: 'BAD_PASSPHRASE', message: /that is else ignored \(0\) with --key-slot/ };
  await refuses(t, ['test-key', header, '-d', keyFile], ignored, [header]);
  await says(t, ['test-key', header, '-S', '0', '-d', keyFile], 'Keyslot 0 opens.');
});

t.test('all keyslots in use: said so, with nothing written', { skip }, async (t) => {
  const files = await formatHeader(t, 'luks1');
  const { header, keyFile } = files;
  const args = [header, ...CHEAP, '-d', keyFile, keyFileOf(files, 'x')];
  for (let keyslot = 1; keyslot < 8; keyslot += 1) await mustLuksfuse(['add-key', ...args]);
  const full = {
    exit: 1,
    code: 'BAD_ARGUMENT',
    message: /all 8 keyslots of the header are in use; remove one/,
  };
  await refuses(t, ['add-key', ...args], full, [header]);
  await refuses(t, ['change-key', ...args], full, [header]);
});

t.test(
  'a hostile key derivation is refused, and the option that lifts the limit named',
  { skip },
  async (t) => {
    const files = await formatHeader(t, 'luks1');
    const image = fs.readFileSync(files.header);
    image.writeUInt32BE(2_000_000_000, 208 + 4); // iterations of keyslot 0
    fs.writeFileSync(files.header, image);
    const dear = {
      exit: 4,
      code: 'UNSUPPORTED',
      message: /2000000000 iterations, .* give --force-kdf-limits/,
    };
    await refuses(t, ['remove-key', files.header, '-d', files.keyFile], dear, [files.header]);
  },
);
