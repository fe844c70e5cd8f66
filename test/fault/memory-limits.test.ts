/**
 * Less memory than a header asks for, by whatever limits it: an exit code and a sentence, and no process that is killed.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makeFiles } from '../kit/headers.js';
import { mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { TEMP_PREFIX } from '../kit/temp.js';

const MEMORY_KIB = 1024 * 1024;

/** A header whose keyslot asks for 1 GiB. */
async function makeDear(t: Test) {
  const files = makeFiles(t);
  const { header, payload, keyFile } = files;
  const kdf = ['--pbkdf', 'argon2id', '--pbkdf-memory', `${MEMORY_KIB}`, '--pbkdf-force-iterations', '4'];
  await mustLuksfuse(['format', '-q', ...kdf, '--header', header, '--key-file', keyFile, payload]);
  return files;
}

/** A cgroup with so much memory, of either version; what puts the shell that runs it into the group. */
function makeCgroup(t: Test, limitBytes: number): string {
  const isV1 = fs.existsSync('/sys/fs/cgroup/memory');
  const root = isV1 ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup';
  const group = path.join(root, `luksfuse-test-${process.pid}`);
  fs.mkdirSync(group);
  t.teardown(() => fs.rmdirSync(group));
  if (!isV1) fs.writeFileSync(path.join(root, 'cgroup.subtree_control'), '+memory');
  fs.writeFileSync(path.join(group, isV1 ? 'memory.limit_in_bytes' : 'memory.max'), `${limitBytes}`);
  return `echo $$ > ${group}/cgroup.procs`;
}

const under = (limit: string, ...words: string[]) =>
  run('bash', ['-c', `${limit}; exec "$0" "$@"`, PROGRAM, ...words]);

t.test('a container of 512 MiB', { skip: skipUnless({ root: true }) }, async (t) => {
  const limit = makeCgroup(t, 512 * 1024 * 1024);
  const { header, payload, keyFile, dir } = await makeDear(t);
  const { code, stderr } = await under(limit, 'test-key', '--key-file', keyFile, header);
  t.equal(code, 3);
  t.match(stderr, /argon2id needs 1 GiB of memory and .* are free/);
  const made = path.join(dir, 'made');
  const words = ['format', '-q', '--iter-time', '100', '--header', made, '--key-file', keyFile, payload];
  t.equal((await under(limit, ...words)).code, 0, 'a new header asks for what there is');
  t.equal((await under(limit, 'test-key', '--key-file', keyFile, made)).code, 0);
  // What is in the page cache makes room; a file of tmpfs would not.
  const onDisk = fs.mkdtempSync(path.join('/var/tmp', TEMP_PREFIX));
  t.teardown(() => fs.rmSync(onDisk, { recursive: true }));
  const fill = `${limit}; head -c 600M /dev/zero > ${onDisk}/large; cat ${onDisk}/large`;
  await run('bash', ['-c', `${fill} > /dev/null`]);
  t.equal((await under(limit, 'test-key', '--key-file', keyFile, made)).code, 0);
});

t.test('ulimit -v', async (t) => {
  const { header, payload, keyFile, dir } = await makeDear(t);
  for (const kib of [1_500_000, 1_300_000]) {
    const { code, stderr } = await under(`ulimit -v ${kib}`, 'test-key', '--key-file', keyFile, header);
    t.equal(code, 3);
    t.match(stderr, /argon2id needs 1 GiB of memory/);
  }
  const made = path.join(dir, 'made');
  const words = ['format', '-q', '--iter-time', '100', '--header', made, '--key-file', keyFile, payload];
  const { code, stderr } = await under('ulimit -v 1500000', ...words);
  t.match(stderr, /^(luksfuse: .*\n)?$/, 'no stack');
  t.ok(code === 0 || code === 3);
});
