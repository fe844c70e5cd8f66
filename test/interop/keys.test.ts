/**
 * Where a key may come from, against headers and keyslots that cryptsetup made.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cryptsetup, makePair, type Pair } from '../kit/cryptsetup.js';
import { luksfuse, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import type { RunResult } from '../kit/run.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ tools: ['cryptsetup'] });

/** A pair with two more keyslots: a text passphrase in slot 3, and the middle of a file in slot 5. */
async function makeKeyedPair(t: Test, type: 'luks1' | 'luks2') {
  const pair = await makePair(t, { type, sizeBytes: MiB });
  const textFile = path.join(pair.dir, 'text');
  const partFile = path.join(pair.dir, 'part');
  const longFile = path.join(pair.dir, 'long');
  const secret = randomBytes(40);
  fs.writeFileSync(textFile, 'correct horse');
  fs.writeFileSync(partFile, secret);
  fs.writeFileSync(longFile, Buffer.concat([randomBytes(100), secret, randomBytes(60)]));
  const addArgs = ['--key-file', pair.keyFile, '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  await cryptsetup('luksAddKey', ...addArgs, '--key-slot', '3', pair.headerFile, textFile);
  await cryptsetup('luksAddKey', ...addArgs, '--key-slot', '5', pair.headerFile, partFile);
  return { ...pair, longFile, textFile };
}

/** The first megabyte through `cat` with these key options. */
function catWith(pair: Pair, args: string[], input?: Uint8Array): Promise<RunResult> {
  return luksfuse(['cat', '--header', pair.headerFile, ...args, pair.payload], input ? { input } : {});
}

for (const type of ['luks1', 'luks2'] as const) {
  t.test(type, { skip }, async (t) => {
    const pair = await makeKeyedPair(t, type);
    const wrongKey = path.join(pair.dir, 'wrong');
    fs.writeFileSync(wrongKey, randomBytes(64));
    const text = Buffer.from('correct horse');
    const works: [string, string[], Uint8Array?][] = [
      ['key file', ['--key-file', pair.keyFile]],
      ['key file, short option', ['-d', pair.keyFile]],
      ['part of a key file', ['-d', pair.longFile, '--keyfile-offset', '100', '--keyfile-size', '40']],
      ['all of stdin', ['--key-file', '-'], pair.passphrase],
      [
        'part of stdin',
        ['-d', '-', '--keyfile-size', `${pair.passphrase.length}`],
        Buffer.concat([pair.passphrase, text]),
      ],
      ['a line of stdin', [], Buffer.from('correct horse\nbattery')],
      ['a line of stdin without its end', [], text],
      ['named keyslot', ['-d', pair.textFile, '--key-slot', '3']],
      ['named keyslot, short option', ['-S', '0', '-d', pair.keyFile]],
      ['volume key', ['--volume-key-file', pair.volumeKeyFile]],
    ];
    for (const [title, args, input] of works) {
      const result = await catWith(pair, args, input);
      t.equal(result.code, 0, `${title}: ${result.stderr}`);
      t.ok(result.stdout.equals(pair.plaintext), `${title} gives the plaintext`);
    }
    const fails: [string, string[], Uint8Array?][] = [
      ['wrong key file', ['--key-file', wrongKey]],
      ['right key, other keyslot', ['--key-file', pair.keyFile, '--key-slot', '3']],
      ['whole file instead of a part', ['--key-file', pair.longFile]],
      ['newline kept by --key-file', ['--key-file', '-'], Buffer.from('correct horse\n')],
      ['wrong passphrase on stdin', [], Buffer.from('battery staple\n')],
      ['empty passphrase', [], Buffer.from('\n')],
      ['wrong volume key', ['--volume-key-file', wrongKey]],
    ];
    for (const [title, args, input] of fails) {
      const result = await catWith(pair, args, input);
      t.equal(result.code, 2, `${title}: ${result.stderr}`);
      t.equal(result.stdout.length, 0, `${title} gives nothing`);
      t.match(result.stderr, /^luksfuse: /, `${title} says why`);
    }
  });
}

t.test('a keyslot that is not there', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const result = await catWith(pair, ['--key-file', pair.keyFile, '--key-slot', '6']);
  t.equal(result.code, 1, result.stderr);
  t.match(result.stderr, /keyslot 6/);
});

t.test('test-key prints the keyslot', { skip }, async (t) => {
  const pair = await makeKeyedPair(t, 'luks2');
  const slotOf = async (file: string) =>
    (await mustLuksfuse(['test-key', '--key-file', file, pair.headerFile])).stdout.toString();
  t.match(await slotOf(pair.keyFile), /\b0\b/);
  t.match(await slotOf(pair.textFile), /\b3\b/);
  const refused = await luksfuse(['test-key', '--key-file', pair.longFile, pair.headerFile]);
  t.equal(refused.code, 2);
});

t.test('a wrong key is told in the time its key derivation takes', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', pbkdf: 'argon2id', sizeBytes: MiB });
  const right = await mustLuksfuse(['test-key', '--key-file', pair.keyFile, pair.headerFile]);
  const wrong = await luksfuse(['test-key', '--key-file', pair.volumeKeyFile, pair.headerFile]);
  t.equal(wrong.code, 2);
  t.ok(
    wrong.elapsedMs < 3 * right.elapsedMs + 1000,
    `right ${right.elapsedMs} ms, wrong ${wrong.elapsedMs} ms`,
  );
});
