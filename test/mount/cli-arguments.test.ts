/**
 * The command line itself: wrong arguments exit with 1 and say what is wrong, --help and --version with 0,
 * and --json keeps to one document.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { luksfuse, mustLuksfuse, PROJECT_DIR, unlockArgs } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';

const MiB = 1024 * 1024;
const COMMANDS = ['mount', 'umount', 'test-key', 'uuid', 'is-luks', 'dump', 'cat'];
const skip = skipUnless({ tools: ['cryptsetup'] });

t.test('help and version', async (t) => {
  const help = (await mustLuksfuse(['--help'])).stdout.toString();
  for (const command of COMMANDS) {
    t.ok(help.includes(command), `--help names ${command}`);
    t.match((await mustLuksfuse([command, '--help'])).stdout.toString(), /Usage: /, `${command} --help`);
  }
  const { version } = JSON.parse(fs.readFileSync(path.join(PROJECT_DIR, 'package.json'), 'utf8'));
  t.equal((await mustLuksfuse(['--version'])).stdout.toString(), `${version}\n`);
});

t.test('wrong arguments', async (t) => {
  const wrong = [
    ['frobnicate'],
    ['--frobnicate'],
    ['mount'],
    ['mount', 'payload'],
    ['mount', 'payload', 'mountpoint', 'surplus'],
    ['mount', '--frobnicate', 'payload', 'mountpoint'],
    ['mount', '--passphrase', 'secret', 'payload', 'mountpoint'],
    ['cat', '--offset', 'ten', 'payload'],
    ['cat', '--length', '-1', 'payload'],
    ['cat', '--key-slot', 'x', 'payload'],
    ['umount'],
    ['dump'],
  ];
  for (const args of wrong) {
    const result = await luksfuse(args);
    t.equal(result.code, 1, `${args.join(' ')}: ${result.stderr.trim()}`);
    t.match(result.stderr, /^luksfuse: /);
    t.equal(result.stdout.length, 0);
  }
});

t.test('errors as JSON', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const failing: [string, string[], number, string][] = [
    ['not LUKS', ['uuid', '--json', pair.payload], 4, 'NOT_LUKS'],
    ['no key fits', ['test-key', '--json', '--key-file', pair.payload, pair.headerFile], 2, 'BAD_PASSPHRASE'],
    ['bad argument', ['dump', '--json', '--frobnicate', pair.headerFile], 1, 'BAD_ARGUMENT'],
  ];
  for (const [title, args, exit, code] of failing) {
    const result = await luksfuse(args);
    t.equal(result.code, exit, title);
    const { error } = JSON.parse(result.stderr) as { error: { code: string; message: string } };
    t.equal(error.code, code);
    t.ok(error.message.length > 0);
  }
});

t.test('a reader of cat that goes away', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 4 * MiB });
  const args = ['cat', ...unlockArgs(pair), pair.payload].map((word) => `'${word}'`).join(' ');
  const program = path.join(PROJECT_DIR, 'bin/luksfuse');
  const result = await run('sh', ['-c', `'${program}' ${args} | head -c 1000`]);
  t.ok(result.stdout.equals(pair.plaintext.subarray(0, 1000)));
  t.equal(result.stderr, '', 'is no error');
});

t.test('a window past the end', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const cat = (offset: number, length: number) =>
    luksfuse(['cat', ...unlockArgs(pair), '--offset', `${offset}`, '--length', `${length}`, pair.payload]);
  t.equal((await cat(MiB - 10, 10)).stdout.length, 10);
  t.equal((await cat(MiB - 10, 11)).code, 1);
  t.equal((await cat(2 * MiB, 1)).code, 1);
});
