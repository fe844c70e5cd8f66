/**
 * The program on a machine for which @node-rs/argon2 has no build: all but argon2 works, and argon2 as well where Node has it.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { mustLuksfuse, PROJECT_DIR } from '../kit/luksfuse.js';
import { run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';
import { makeVolume } from '../kit/volume.js';

const hasNodesOwn = Number(process.versions.node.split('.')[0]) >= 24;
const MISSING = /argon2id cannot be computed here: package @node-rs\/argon2 .* Node\.js 24 .* pbkdf2/;
const CHEAP = ['--pbkdf-force-iterations', '4', '--pbkdf-memory', '1024', '--pbkdf-parallel', '2'];

/** An installation with koffi alone, and this test's Node. */
function install(t: Test): (args: readonly string[]) => ReturnType<typeof run> {
  const dir = makeTempDir(t);
  for (const name of ['bin', 'dist/lib/program', 'package.json']) {
    fs.cpSync(path.join(PROJECT_DIR, name), path.join(dir, name), { recursive: true });
  }
  fs.mkdirSync(path.join(dir, 'node_modules'));
  fs.symlinkSync(path.join(PROJECT_DIR, 'node_modules/koffi'), path.join(dir, 'node_modules/koffi'));
  return (args) => run(process.execPath, [path.join(dir, 'bin/luksfuse'), ...args]);
}

t.test('what needs no argon2', async (t) => {
  const luksfuse = install(t);
  const must = async (...args: string[]) => {
    const { code, stdout, stderr } = await luksfuse(args);
    t.strictSame([code, stderr], [0, ''], `${args[0]}`);
    return stdout.toString();
  };
  t.match(await must('--version'), /^\d+\.\d+\.\d+\n$/);
  t.match(await must('--help'), /mount/);
  const volume = await makeVolume(t, 1024 * 1024);
  const key = ['--key-file', volume.keyFile];
  await must('dump', volume.header);
  await must('test-key', volume.header, ...key);
  t.equal(
    (await must('cat', '--header', volume.header, ...key, '--length', '4', volume.payload)).length > 0,
    true,
  );

  const other = path.join(volume.dir, 'other');
  const pbkdf = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  await must('format', ...pbkdf, ...key, '--header', other, volume.payload);
  await mustLuksfuse(['test-key', other, ...key]);
});

t.test('keyslots with argon2', async (t) => {
  const luksfuse = install(t);
  const volume = await makeVolume(t, 1024 * 1024);
  const another = path.join(volume.dir, 'another-key');
  fs.writeFileSync(another, randomBytes(16));
  const header = path.join(volume.dir, 'argon2');
  // Slot 0 has argon2 and is tried first, slot 1 pbkdf2.
  await mustLuksfuse(['format', ...CHEAP, '--key-file', another, '--header', header, volume.payload]);
  const pbkdf2 = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  await mustLuksfuse(['add-key', ...pbkdf2, '--key-file', another, header, volume.keyFile]);

  t.equal((await luksfuse(['test-key', header, '--key-file', volume.keyFile])).code, 0);
  const opened = await luksfuse(['test-key', header, '--key-file', another]);
  const newHeader = path.join(volume.dir, 'new-header');
  const made = await luksfuse([
    'format',
    ...CHEAP,
    '--key-file',
    another,
    '--header',
    newHeader,
    volume.payload,
  ]);
  if (hasNodesOwn) {
    t.strictSame([opened.code, opened.stderr, made.code, made.stderr], [0, '', 0, '']);
    await mustLuksfuse(['test-key', newHeader, '--key-file', another]);
  } else {
    t.strictSame([opened.code, made.code], [4, 4]);
    for (const { stderr } of [opened, made]) {
      t.match(stderr, MISSING);
      t.equal(stderr.split('\n').length, 2, 'one line');
    }
    t.notOk(fs.existsSync(newHeader));
  }
});
