/**
 * Files and mountpoints whose names are not UTF-8, by every command that takes a name. Names are handed over by sh(1), as
 * Node's own arguments are text.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { decodeName, encodeName, isUtf8 } from '../../lib/native/raw-names.js';
import { FAST_PBKDF2 } from '../kit/headers.js';
import { PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { type RunResult, run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';
import { makeUsers, openFuseToAll, type TestUser } from '../kit/user.js';

const CHEAP = FAST_PBKDF2.join(' ');

t.test('names to bytes and back', (t) => {
  const names = ['p\xff', '\x80', 'größe\xfe', '\xed\xa0\x80', '\xf4\x90\x80\x80', '\xc0\xaf', 'a\xe2\x82'];
  for (const latin1 of names) {
    const bytes = Buffer.from(latin1, 'latin1');
    const name = decodeName(bytes);
    t.notOk(isUtf8(name), JSON.stringify(name));
    t.strictSame(encodeName(name), bytes);
    t.equal(JSON.parse(JSON.stringify(name)), name);
  }
  for (const text of ['', 'größe', '\ufffd', '😀', 'a/b\n']) {
    t.equal(decodeName(Buffer.from(text)), text);
    t.strictSame(encodeName(text), Buffer.from(text));
    t.ok(isUtf8(text));
  }
  t.end();
});

/** A shell of somebody in a directory that has such a name itself; `$P` is the program and `$x` a byte that is no character. */
function shellIn(home: string, program: string, runAs: TestUser['run'] = run) {
  const start = `set -e; x=$(printf '\\377'); P="${process.execPath} ${program}"; mkdir -p "dir$x"; cd "dir$x"; `;
  const sh = (script: string): Promise<RunResult> =>
    runAs('sh', ['-c', start + script], { cwd: home, timeoutMs: 60_000 });
  return { dir: Buffer.concat([Buffer.from(`${home}/dir`), Buffer.from([0xff])]), sh };
}

async function ok(t: Test, result: Promise<RunResult>, what: string): Promise<Buffer> {
  const { code, stdout, stderr } = await result;
  t.equal(code, 0, `${what}: ${stderr}`);
  return stdout;
}

t.test('headers, payloads, keys and what is made of them', async (t) => {
  const { dir, sh } = shellIn(makeTempDir(t), PROGRAM);
  await ok(t, sh('head -c 1M /dev/zero > "p$x"; printf pw > "k$x"; printf new > "n$x"'), 'files');
  const how = '--header "h$x" -d "k$x"';
  await ok(t, sh(`$P format -q ${CHEAP} ${how} "p$x"`), 'format');
  await ok(t, sh(`$P test-key -d "$(pwd)/k$x" "$(pwd)/h$x"`), 'absolute');
  await ok(t, sh(`$P add-key ${CHEAP} -d "k$x" "h$x" "n$x"`), 'add-key');
  await ok(t, sh(`$P header-backup "h$x" "b$x"`), 'header-backup');
  await ok(t, sh(`$P header-restore -q "h$x" "b$x"`), 'header-restore');
  await ok(t, sh(`printf plain | $P write ${how} "p$x"`), 'write');
  t.equal(`${await ok(t, sh(`$P cat --length 5 ${how} "p$x"`), 'cat')}`, 'plain');
  await ok(t, sh(`$P reencrypt -q ${CHEAP} ${how} --key-slot 0 "p$x"`), 'reencrypt');
  await ok(t, sh(`$P decrypt -q ${how} "p$x"`), 'decrypt');
  await ok(t, sh(`$P encrypt -q ${CHEAP} --header "h2$x" -d "k$x" "p$x"`), 'encrypt');
  t.equal(`${await ok(t, sh(`$P cat --length 5 --header "h2$x" -d "k$x" "p$x"`), 'cat')}`, 'plain');
  const names = fs
    .readdirSync(dir, 'buffer')
    .map((name) => name.toString('latin1').replace(/[\dT]{10,}/, 'DATE'));
  t.strictSame(names.sort(), ['b\xff', 'b\xff.replaced-DATE', 'h2\xff', 'h\xff', 'k\xff', 'n\xff', 'p\xff']);
  const missing = await sh('$P dump "none$x"');
  t.equal(missing.code, 4);
  t.match(missing.stderr, /none/);
  for (const [script, why] of [
    [`$P config --label "l$x" "h2$x"`, /is not UTF-8, and a text in a header must be/],
    [`$P test-key --key-command "cat k$x" "h2$x"`, /is not UTF-8, and the key command must be/],
  ] as const) {
    const { code, stderr } = await sh(script);
    t.equal(code, 1);
    t.match(stderr, why);
  }
});

async function mountsAndUnmounts(t: Test, { dir, sh }: ReturnType<typeof shellIn>): Promise<void> {
  const files = 'head -c 1M /dev/zero > "p$x"; printf pw > "k$x"; mkdir "m$x"; : > "f$x"';
  await ok(t, sh(`${files}; $P format -q ${CHEAP} --header "h$x" -d "k$x" "p$x"`), 'files');
  for (const [name, file] of [
    ['m', '/payload'],
    ['f', ''],
  ]) {
    const mountpoint = Buffer.concat([dir, Buffer.from(`/${name}\xff`, 'latin1')]);
    const at = `"${name}$x"`;
    const mount = `$P mount -o "header=h$x,key_file=k$x" --pid-file "pid$x" "p$x" ${at}`;
    const shown = await ok(t, sh(mount), 'mount');
    t.strictSame(shown, Buffer.concat([mountpoint, Buffer.from(`${file}\n`)]));
    t.match((await sh(mount)).stderr, /already holds the mount of/);
    const use = `printf x | dd conv=notrunc status=none of=${at}${file}; head -c 1 ${at}${file}`;
    t.equal(`${await ok(t, sh(use), 'use')}`, 'x');
    const listed = `${await ok(t, sh('$P list --json'), 'list')}`;
    t.ok(listed.includes(JSON.stringify(decodeName(mountpoint))), 'list');
    await ok(t, sh(`$P status ${at}`), 'status');
    const attached = await sh(`$P attach --print ${at}`);
    t.equal(attached.code, 1);
    t.match(attached.stderr, /is not UTF-8, and a file that QEMU opens must be/);
    await ok(t, sh(`kill -0 $(cat "pid$x"); $P upgrade ${at}`), 'upgrade');
    await ok(t, sh(`$P umount ${at}`), 'umount');
    const isGone = sh(`! grep -a ${path.basename(path.dirname(`${dir}`))} /proc/self/mountinfo`);
    await ok(t, isGone, 'gone');
    t.notOk(fs.existsSync(Buffer.concat([dir, Buffer.from('/pid\xff', 'latin1')])));
  }
  const named = await sh('$P mount --header "h$x" -d "k$x" --name "n$x" "p$x" "m$x"');
  t.equal(named.code, 1);
  t.match(named.stderr, /must be the name of one file/);
}

t.test('mountpoints', { skip: skipUnless({ root: true, fuse: true }) }, async (t) => {
  await mountsAndUnmounts(t, shellIn(makeTempDir(t), PROGRAM));
});

const skip = skipUnless({ root: true, fuse: true, tools: ['fusermount3', 'useradd', 'userdel'] });
t.test("mountpoints, a user's", { skip }, async (t) => {
  openFuseToAll(t);
  const [user] = (await makeUsers(t, 1)) as [TestUser];
  await mountsAndUnmounts(t, shellIn(user.home, user.program, user.run));
});
