/**
 * Keys in the kernel's keyrings: tokens that cryptsetup made, and secrets as QEMU names them. Every key lies in a
 * session keyring of its own, which is gone with the command.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { FAST_PBKDF2, formatHeader, type HeaderFiles } from '../kit/headers.js';
import { PROGRAM } from '../kit/luksfuse.js';
import { createImage, imageOpts } from '../kit/qemu.js';
import { skipUnless } from '../kit/requirements.js';
import { type RunResult, run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ tools: ['cryptsetup', 'keyctl'] });
const TEST_KEY = `${PROGRAM} test-key`;

/** Runs a shell command in a fresh session, with `$serial` the key under `description` made of `keyFile`. */
function withKey(description: string, keyFile: string, command: string): Promise<RunResult> {
  const add = `serial=$(keyctl padd user '${description}' @s < ${keyFile})`;
  return run('keyctl', ['session', '-', 'sh', '-c', `${add} && ${command}`]);
}

/** Keyslots 0 and 1 with keys of their own; token `id` names a key for keyslot 1. */
async function makeTokenHeader(t: Parameters<typeof formatHeader>[0], id: number, description: string) {
  const files: HeaderFiles = await formatHeader(t, 'luks2');
  const second = path.join(files.dir, 'second');
  fs.writeFileSync(
    second,
    Buffer.concat([Buffer.from([0, 0xff, 0x0a]), randomBytes(8), Buffer.from([0x0a])]),
  );
  await cryptsetup('luksAddKey', ...FAST_PBKDF2, '-d', files.keyFile, files.header, second);
  const token = ['--token-id', `${id}`, '--key-slot', '1', '--key-description', description];
  await cryptsetup('token', 'add', ...token, files.header);
  return { ...files, second };
}

t.test('a keyring token opens its keyslot, for cryptsetup and for us', { skip }, async (t) => {
  const description = 'luksfuse-test: a key\u00e9';
  const { header, second, keyFile } = await makeTokenHeader(t, 3, description);
  const theirs = `cryptsetup open --test-passphrase --token-only -v ${header}`;
  t.match(`${(await withKey(description, second, theirs)).stdout}`, /Key slot 1 unlocked/);
  const opened = 'Keyslot 1 opens.\n';
  t.equal(`${(await withKey(description, second, `${TEST_KEY} ${header}`)).stdout}`, opened, 'unasked');
  t.equal(`${(await withKey(description, second, `${TEST_KEY} --token-id 3 ${header}`)).stdout}`, opened);
  t.equal(`${(await withKey(description, second, `${TEST_KEY} -S 1 ${header}`)).stdout}`, opened);

  const other = await withKey(description, second, `${TEST_KEY} --token-id 3 -S 0 ${header}`);
  t.equal(other.code, 1);
  t.match(other.stderr, /--token-id 3 and --key-slot 0 do not fit/);
  const wrongSlot = await withKey(description, keyFile, `${TEST_KEY} --token-id 3 ${header}`);
  t.equal(wrongSlot.code, 2, "the key of a keyslot that is not the token's");
  const none = await withKey('another', second, `${TEST_KEY} --token-id 3 ${header}`);
  t.equal(none.code, 1);
  t.match(none.stderr, /ENOKEY/);
  const noToken = await withKey(description, second, `${TEST_KEY} --token-id 2 ${header}`);
  t.equal(noToken.code, 1);
  t.match(noToken.stderr, /token 2 does not exist/);
});

t.test('where a token does not help, the passphrase is read as ever', { skip }, async (t) => {
  const { header, second, keyFile, dir } = await makeTokenHeader(t, 0, 'luksfuse-test');
  const text = path.join(dir, 'text');
  fs.writeFileSync(text, 'a line of text');
  await cryptsetup('luksAddKey', ...FAST_PBKDF2, '-d', keyFile, header, text);
  const absent = await withKey('another', second, `${TEST_KEY} ${header} < ${text}`);
  t.equal(`${absent.stdout}`, 'Keyslot 2 opens.\n', 'no such key');
  const wrong = await withKey('luksfuse-test', keyFile, `${TEST_KEY} ${header} < ${text}`);
  t.equal(`${wrong.stdout}`, 'Keyslot 2 opens.\n', 'the wrong key');
  const named = await withKey('luksfuse-test', second, `${TEST_KEY} -d ${keyFile} ${header}`);
  t.equal(`${named.stdout}`, 'Keyslot 0 opens.\n', 'a key that is named comes alone');
});

t.test('one key that many tokens name is tried once', { skip }, async (t) => {
  const { header, second, keyFile } = await makeTokenHeader(t, 0, 'luksfuse-test');
  for (const [id, keyslot] of [
    [1, 1],
    [2, 0],
  ]) {
    const token = ['--token-id', `${id}`, '--key-slot', `${keyslot}`, '--key-description', 'luksfuse-test'];
    await cryptsetup('token', 'add', ...token, header);
  }
  const wrong = path.join(path.dirname(header), 'wrong');
  fs.writeFileSync(wrong, 'wrong');
  const test = `DEBUG=luksfuse:keyslot ${TEST_KEY} ${header} < /dev/null`;
  const { code, stderr } = await withKey('luksfuse-test', wrong, test);
  t.equal(code, 1);
  t.strictSame(stderr.match(/keyslot \d: not its passphrase/g)?.sort(), [
    'keyslot 0: not its passphrase',
    'keyslot 1: not its passphrase',
  ]);
  for (const [file, keyslot] of [
    [second, 1],
    [keyFile, 0],
  ] as const) {
    const opened = await withKey('luksfuse-test', file, `${TEST_KEY} ${header}`);
    t.equal(`${opened.stdout}`, `Keyslot ${keyslot} opens.\n`);
  }
});

const skipQemu = skipUnless({ tools: ['qemu-img', 'qemu-io', 'keyctl'] });

t.test('a secret in a keyring, by serial as in QEMU, and by description', { skip: skipQemu }, async (t) => {
  const dir = makeTempDir(t);
  const [image, keyFile] = [path.join(dir, 'image'), path.join(dir, 'key')];
  fs.writeFileSync(keyFile, 'a passphrase');
  await createImage(image, keyFile, { sizeBytes: 1024 * 1024 });
  const object = '--object secret_keyring,id=key,serial=$serial';
  const theirs = `qemu-io ${object} --image-opts ${imageOpts(image)} -c 'read 0 512'`;
  t.equal((await withKey('luksfuse-test', keyFile, theirs)).code, 0);
  const open = (secret: string) =>
    withKey('luksfuse-test', keyFile, `${TEST_KEY} --secret ${secret} ${image}`);
  t.equal(`${(await open('keyring=$serial')).stdout}`, 'Keyslot 0 opens.\n');
  t.equal(`${(await open('keyring=luksfuse-test')).stdout}`, 'Keyslot 0 opens.\n');
  for (const wrong of ['keyring=another', 'keyring=1']) {
    const refused = await open(wrong);
    t.equal(refused.code, 1);
    t.match(refused.stderr, /cannot read key .* of the kernel's keyrings/);
  }
});
