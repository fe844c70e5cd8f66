import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { withJson } from '../kit/luks2-image.js';
import { luksfuse, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const PAYLOAD_BYTES = 1024 * 1024;

/** A pair made by `luksfuse format`, and runs of luksfuse on it. */
async function newPair(t: Test, ...formatOptions: string[]) {
  const dir = makeTempDir(t);
  const at = (name: string) => path.join(dir, name);
  fs.writeFileSync(at('key'), 'a passphrase');
  fs.writeFileSync(at('payload'), Buffer.alloc(PAYLOAD_BYTES));
  fs.mkdirSync(at('mnt'));
  const cheap = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  await mustLuksfuse([
    'format',
    '--header',
    at('header'),
    '-d',
    at('key'),
    ...cheap,
    ...formatOptions,
    at('payload'),
  ]);
  const mount = (...options: string[]) =>
    luksfuse(['mount', '--header', at('header'), '-d', at('key'), ...options, at('payload'), at('mnt')]);
  const umount = () => mustLuksfuse(['umount', at('mnt')]);
  const tokens = async () =>
    JSON.parse((await mustLuksfuse(['token', 'list', '--json', at('header')])).stdout.toString());
  return { at, mount, umount, tokens };
}

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

t.test('a payload of another size is refused for writing and warned of for reading', { skip }, async (t) => {
  const { at, mount, umount } = await newPair(t);
  t.equal((await mount()).code, 0);
  await umount();
  fs.truncateSync(at('payload'), 2 * PAYLOAD_BYTES);
  const refused = await mount();
  t.equal(refused.code, 1);
  t.match(refused.stderr.toString(), /was paired with; check the two; --pair/);
  const readOnly = await mount('--read-only');
  t.equal(readOnly.code, 0);
  t.match(readOnly.stderr.toString(), /warning: .* paired/);
  await umount();
  t.equal((await mount('--ignore-pairing')).code, 0);
  await umount();
  t.equal((await mount('--pair')).code, 0, 'records the new size');
  await umount();
  t.equal((await mount()).code, 0);
  await umount();
});

t.test('a segment changed by somebody without the volume key is noticed', { skip }, async (t) => {
  const { at, mount } = await newPair(t);
  const image = fs.readFileSync(at('header'));
  const tampered = withJson(image, (json) => {
    json.segments['0'].iv_tweak = '8';
  });
  fs.writeFileSync(at('header'), tampered);
  const refused = await mount();
  t.equal(refused.code, 1);
  t.match(refused.stderr.toString(), /tampered/);
});

t.test(
  'opting out, and headers of others: no record, no questions; --pair makes one',
  { skip },
  async (t) => {
    const { at, mount, umount, tokens } = await newPair(t, '--no-pairing');
    t.same((await tokens()).tokens, []);
    fs.truncateSync(at('payload'), 2 * PAYLOAD_BYTES);
    t.equal((await mount()).code, 0);
    await umount();
    t.equal((await mount('--pair')).code, 0);
    await umount();
    t.equal((await tokens()).tokens[0].type, 'luksfuse-pairing');
  },
);

t.test('cryptsetup keeps the record through its own changes, and LUKS1 has none', { skip }, async (t) => {
  const { at, mount, umount, tokens } = await newPair(t);
  fs.writeFileSync(at('key2'), 'another');
  const cheap = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  await cryptsetup('luksAddKey', '-q', '--key-file', at('key'), ...cheap, at('header'), at('key2'));
  t.equal((await tokens()).tokens.length, 1);
  t.equal((await mount()).code, 0);
  await umount();

  const luks1 = await newPair(t, '--type', 'luks1');
  t.equal((await luks1.mount('--pair')).code, 1);
  t.equal((await luks1.mount()).code, 0);
  await luks1.umount();
});

t.test('converting to LUKS1 drops the record', { skip }, async (t) => {
  const { at, mount, umount } = await newPair(t, '--sector-size', '512');
  await mustLuksfuse(['convert', '--type', 'luks1', '-q', at('header')]);
  t.equal((await mount()).code, 0);
  await umount();
});

t.test('no pairing is recorded in the middle of a reencryption', { skip }, async (t) => {
  for (const mode of ['encrypt', 'reencrypt', 'decrypt']) {
    const { at, mount, umount } = await newPair(t, '--sector-size', '512');
    if (mode === 'encrypt') fs.rmSync(at('header'));
    const cheap = mode === 'decrypt' ? [] : ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
    const args = ['-q', '--init-only', '--header', at('header'), '-d', at('key'), at('payload')];
    await mustLuksfuse([mode, ...cheap, ...args]);
    const write = ['write', '--pair', '--header', at('header'), '-d', at('key'), at('payload')];
    const before = fs.readFileSync(at('header'));
    for (const refused of [await mount('--pair'), await luksfuse(write, { input: Buffer.from('x') })]) {
      t.equal(refused.code, 4, mode);
      t.match(refused.stderr, `leave --pair out, or first: luksfuse ${mode} --resume-only`);
    }
    t.ok(before.equals(fs.readFileSync(at('header'))));
    t.equal((await mount()).code, 0, `${mode}: without it`);
    await umount();
  }
});

t.test('segments of two volume keys, and no reencryption that says why', { skip }, async (t) => {
  const { at, mount } = await newPair(t, '--no-pairing', '--sector-size', '512');
  const tampered = withJson(fs.readFileSync(at('header')), ({ segments, digests }) => {
    segments[1] = { ...segments[0], offset: '4096' };
    segments[0].size = '4096';
    digests[1] = { ...digests[0], keyslots: [], segments: ['1'] };
  });
  fs.writeFileSync(at('header'), tampered);
  const args = ['--header', at('header'), '-d', at('key'), at('payload')];
  const input = Buffer.from('x');
  for (const refused of [
    await mount(),
    await mount('--pair'),
    await luksfuse(['cat', ...args]),
    await luksfuse(['write', ...args], { input }),
  ]) {
    t.equal(refused.code, 4);
    t.match(refused.stderr, /segments of a reencryption and does not say that one is under way/);
  }
});
