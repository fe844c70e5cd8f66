/**
 * What the program writes, to whoever reads it or does not.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { FAST_PBKDF2, makeFiles } from '../kit/headers.js';
import { luksfuse, mustLuksfuse, PROGRAM, unlockArgs } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

const shell = (script: string, ...args: string[]) => run('sh', ['-c', script, 'sh', PROGRAM, ...args]);

t.test('standard output that refuses', async (t) => {
  const { header, payload, keyFile } = makeFiles(t);
  const made = ['format', '-q', ...FAST_PBKDF2, '--key-file', keyFile, '--header', header, payload];
  await mustLuksfuse(made);
  for (const command of ['dump', 'uuid']) {
    const { code, stderr } = await shell('"$1" $2 "$3" >/dev/full', command, header);
    t.equal(code, 4);
    t.match(stderr, new RegExp(`^luksfuse: ${command}: cannot write to standard output: ENOSPC.*\\n$`));
    t.match(
      await shell('"$1" $2 "$3" | true', command, header),
      { code: 0, stderr: '' },
      'a reader that has gone',
    );
  }
  const help = await shell('"$1" --help >/dev/full');
  t.match(help, { code: 4, stderr: /cannot write to standard output/ });
  t.match(await shell('"$1" dump /nowhere 2>/dev/full'), { code: 4, stdout: Buffer.alloc(0) });
});

t.test(
  'a mount that is made and cannot be told of',
  {
    skip: skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] }),
  },
  async (t) => {
    const pair = await makePair(t, { type: 'luks2' });
    const mountpoint = makeTempDir(t);
    const words = ['mount', ...unlockArgs(pair), pair.payload, mountpoint];
    const { code, stderr } = await shell('program=$1; shift; "$program" "$@" >/dev/full', ...words);
    t.teardown(async () => findMount(mountpoint) && (await luksfuse(['umount', '--lazy', mountpoint])));
    t.equal(code, 0);
    t.match(stderr, /^luksfuse: warning: cannot write to standard output: ENOSPC/);
    t.ok(findMount(mountpoint));
    await mustLuksfuse(['umount', mountpoint]);
  },
);

t.test(
  'a mount keeps nothing of its caller open',
  {
    skip: skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] }),
  },
  async (t) => {
    const pair = await makePair(t, { type: 'luks2' });
    for (const how of [[], ['--no-supervise']]) {
      const mountpoint = makeTempDir(t);
      const words = ['mount', ...how, ...unlockArgs(pair), pair.payload, mountpoint];
      t.teardown(async () => findMount(mountpoint) && (await luksfuse(['umount', '--lazy', mountpoint])));
      // Its reader ends when nobody has the pipe any more.
      const script = '{ "$0" "$@"; } 40>&1 11>&1 | cat';
      const { code, stdout } = await run('bash', ['-c', script, PROGRAM, ...words], { timeoutMs: 20_000 });
      t.equal(code, 0);
      t.equal(stdout.toString().trim(), path.join(mountpoint, 'payload'));
      await mustLuksfuse(['umount', mountpoint]);
    }
  },
);

t.test('nothing that is read steers the terminal', async (t) => {
  const { dir, header, payload, keyFile } = makeFiles(t);
  await mustLuksfuse(['format', '-q', ...FAST_PBKDF2, '--key-file', keyFile, '--header', header, payload]);
  const type = '\u001b]0;title\u0007\u009b2Jred\u202e';
  const token = path.join(dir, 'token');
  fs.writeFileSync(token, JSON.stringify({ type, keyslots: [] }));
  const outputs = [await mustLuksfuse(['token', 'import', '--json-file', token, header])];
  for (const command of [['token', 'list'], ['dump'], ['dump', '--json'], ['token', 'list', '--json']]) {
    outputs.push(await mustLuksfuse([...command, header]));
  }
  const odd = path.join(dir, 'a\u001b[31mb');
  fs.symlinkSync(header, odd);
  outputs.push(
    await mustLuksfuse(['uuid', odd]),
    await luksfuse(['mount', payload, odd]),
    await luksfuse(['nothing\u001b[2J']),
  );
  for (const { stdout, stderr } of outputs) {
    for (const text of [stdout.toString(), stderr]) {
      t.notMatch(text, /[^\P{Cc}\t\n]|[\u200e\u200f\u202a-\u202e]/u);
    }
  }
  const listed = JSON.parse(outputs[4]!.stdout.toString()) as { tokens: { type: string }[] };
  t.ok(
    listed.tokens.some((each) => each.type === type),
    'a program is told all of it',
  );
});

t.test('a name that would steer the terminal, in traces too', async (t) => {
  const { payload, keyFile } = makeFiles(t);
  const name = path.join(makeTempDir(t), '\u001b[31mred');
  const made = ['format', '-q', ...FAST_PBKDF2, '--key-file', keyFile, '--header', name, payload];
  const { stderr } = await luksfuse(made, { env: { DEBUG: 'luksfuse:*' } });
  t.match(stderr, /luksfuse:/, 'it traces');
  t.notMatch(stderr, '\u001b');
  const refused = await luksfuse(['dump', `${name}x`], { env: { DEBUG: 'luksfuse:*' } });
  t.notMatch(refused.stderr, '\u001b');
  t.match(refused.stderr, '\\u001b[31mred');
  const command = await luksfuse(
    ['cat', '--key-command', ': \u001b[31m; exit 1', '--header', name, payload],
    {
      env: { DEBUG: 'luksfuse:*' },
    },
  );
  t.notMatch(command.stderr, '\u001b');
});
