/**
 * What the processes of a mount hand its key to: the server of an installed luksfuse that only those could have written who
 * could have written the one that runs, by our own runtime, and nothing that takes its place meanwhile.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { type Installed, installCopy } from '../kit/installed.js';
import { clearMount, mountVolume, mustLuksfuse, PROGRAM, PROJECT_DIR, unlockArgs } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun } from '../kit/run.js';
import { controlSocketOf, killServer, statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const NOBODY = 65534;

async function mountAny(t: Test) {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const mounted = await mountVolume(t, pair);
  return { ...mounted, pair, ...(await statusOf(mounted.mountpoint)) };
}

/** Asks for another server as somebody may who speaks to the socket by a program of his own. Returns what is answered. */
async function ask(mountpoint: string, program: { node?: string; entry: string }): Promise<string> {
  const socket = net.connect(controlSocketOf(mountpoint));
  const said = text(socket);
  socket.write(`${JSON.stringify({ upgrade: program })}\n`);
  await new Promise<void>((resolve) => {
    let lines = 0;
    socket.on('data', (bytes: Buffer) => {
      lines += bytes.toString().split('\n').length - 1;
      if (lines === 2) resolve();
    });
  });
  socket.end();
  return (await said).split('\n')[1]!;
}

/** What takes the key and notes that it did. */
const thief = (mark: string) =>
  `import('node:fs').then((fs) => { fs.writeFileSync(${JSON.stringify(mark)}, ''); fs.writeSync(3, '!'); setTimeout(() => {}, 1000); });`;

t.test('a link that is changed between the check and the start', { skip }, async (t) => {
  const { mountpoint, file, pair } = await mountAny(t);
  const { dir } = installCopy(t);
  const work = makeTempDir(t);
  const mark = path.join(work, 'stolen');
  const evil = path.join(work, 'evil');
  fs.mkdirSync(path.join(evil, 'dist/lib/program'), { recursive: true });
  fs.writeFileSync(path.join(evil, 'dist/lib/program/server-main.js'), thief(mark));
  const link = path.join(work, 'link');
  fs.chmodSync(work, 0o777);
  fs.symlinkSync(dir, link);
  const swap = `
    const fs = require('node:fs');
    const [link, ...targets] = process.argv.slice(1);
    for (let count = 0; ; count++) {
      fs.symlinkSync(targets[count % 2], link + '.new');
      fs.renameSync(link + '.new', link);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.random() * 10);
    }`;
  const swapper = spawn(process.execPath, ['-e', swap, link, dir, evil], { stdio: 'inherit' });
  t.teardown(() => swapper.kill('SIGKILL'));
  for (let tries = 0; tries < 20 && !fs.existsSync(mark); tries++) {
    const answer = await ask(mountpoint, {
      node: process.execPath,
      entry: path.join(link, 'dist/lib/program/server-main.js'),
    });
    t.match(answer, /"error".*can be changed by others/);
  }
  t.notOk(fs.existsSync(mark), 'another program than the checked one was started with the key');
  t.ok(fs.readFileSync(file).equals(pair.plaintext));
});

t.test('programs that nobody but root can write to, but that load what others write', { skip }, async (t) => {
  const { mountpoint, file, pair, pid } = await mountAny(t);
  const { dir, entry } = installCopy(t);
  const script = path.join(dir, 'dist/lib/program/other.js');
  const mark = path.join(makeTempDir(t), 'stolen');
  fs.writeFileSync(script, thief(mark));
  for (const node of ['/usr/bin/env', '/usr/bin/perl', '/usr/bin/python3', '/bin/sh', process.execPath]) {
    const other = await ask(mountpoint, { node, entry: script });
    t.match(other, /"BAD_ARGUMENT".*is not the server of an installed luksfuse/, `${node} with a script`);
    t.equal((await statusOf(mountpoint)).pid, pid, 'the server goes on');
  }
  t.notOk(fs.existsSync(mark));

  // The runtime is not for the visitor to choose.
  t.match(await ask(mountpoint, { node: '/usr/bin/python3', entry }), /"mount"/);
  const now = await statusOf(mountpoint);
  t.equal(fs.readlinkSync(`/proc/${now.pid}/exe`), process.execPath);
  t.ok(fs.readFileSync(file).equals(pair.plaintext));

  const manifest = path.join(dir, 'package.json');
  fs.writeFileSync(manifest, fs.readFileSync(manifest, 'utf8').replace('"luksfuse"', '"another"'));
  t.match(await ask(mountpoint, { entry }), /"BAD_ARGUMENT".*is no installed luksfuse/);
  t.equal((await statusOf(mountpoint)).pid, now.pid);
});

/** Gives the program packages of its own, for some to be changed. */
function ownPackages({ dir }: Installed): string {
  const packages = path.join(dir, 'node_modules');
  fs.rmSync(packages);
  for (const name of ['koffi', '@koromix', '@node-rs']) {
    fs.cpSync(path.join(PROJECT_DIR, 'node_modules', name), path.join(packages, name), { recursive: true });
  }
  return packages;
}

t.test('all that the program would load is looked at', { skip }, async (t) => {
  const { mountpoint, pid } = await mountAny(t);
  const installed = installCopy(t);
  const packages = ownPackages(installed);
  const program = path.dirname(installed.entry);
  const chunk = path.join(program, fs.readdirSync(program).find((name) => name.startsWith('chunk-'))!);
  const native = path.join(packages, '@koromix/koffi-linux-x64');
  const refused = async (what: string, place: string) => {
    const answer = await ask(mountpoint, { entry: installed.entry });
    t.match(answer, /"BAD_ARGUMENT".*can be changed by others/, what);
    t.ok(answer.includes(place), `${what}: it is named`);
    t.equal((await statusOf(mountpoint)).pid, pid);
  };
  for (const place of [chunk, program, path.join(packages, 'koffi'), packages, native, installed.dir]) {
    const { mode } = fs.statSync(place);
    fs.chownSync(place, NOBODY, NOBODY);
    await refused(`another's ${place}`, place);
    fs.chownSync(place, 0, 0);
    fs.chmodSync(place, 0o777);
    await refused(`open to all: ${place}`, place);
    fs.chmodSync(place, mode);
  }
  // Where Node would look if the package had not its own.
  const above = path.join(program, '../node_modules');
  fs.mkdirSync(above);
  fs.chownSync(above, NOBODY, NOBODY);
  await refused('a place before that of the package', above);
  fs.rmdirSync(above);
  await mustLuksfuse(['upgrade', mountpoint]);
  t.match(await ask(mountpoint, { entry: installed.entry }), /"mount"/);
});

t.test('a file system of somebody, where files are whose he says', { skip }, async (t) => {
  const { mountpoint, pid } = await mountAny(t);
  const { dir } = installCopy(t);
  const elsewhere = path.join(makeTempDir(t), 'installed');
  fs.cpSync(dir, elsewhere, { recursive: true, verbatimSymlinks: true });
  // As others cannot write to it, only this tells it from a safe place.
  fs.chmodSync(path.dirname(elsewhere), 0o755);
  const answer = await ask(mountpoint, { entry: path.join(elsewhere, 'dist/lib/program/server-main.js') });
  t.match(answer, /"BAD_ARGUMENT".*is on another file system/);
  t.equal((await statusOf(mountpoint)).pid, pid);
});

t.test('what is in the home directory of who mounts is not loaded', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const home = makeTempDir(t);
  const mark = path.join(home, 'stolen');
  const hidden = path.join(home, '.node_modules/luksfuse-test-missing');
  fs.mkdirSync(hidden, { recursive: true });
  const note = `require('node:fs').writeFileSync(${JSON.stringify(mark)}, '');`;
  fs.writeFileSync(path.join(hidden, 'index.js'), note);
  const hook = new URL('./missing-package.js', import.meta.url).href;
  const { mountpoint } = await mountVolume(t, pair, { hook, env: { HOME: home } });
  fs.rmSync(mark, { force: true }); // The command itself is the caller's own.
  await killServer(mountpoint);
  await mustLuksfuse(['upgrade', mountpoint], { env: { HOME: home } });
  t.notOk(fs.existsSync(mark));
  await mustLuksfuse(['umount', mountpoint]);
});

t.test('a runtime that others can replace is not run again', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const { dir } = installCopy(t);
  const [node, mountpoint] = [path.join(dir, 'node'), path.join(pair.dir, 'mountpoint')];
  const mark = path.join(makeTempDir(t), 'stolen');
  const runtimeOf = (pid: number) => fs.readlinkSync(`/proc/${pid}/exe`);
  fs.copyFileSync(process.execPath, node);
  fs.mkdirSync(mountpoint);
  t.teardown(() => clearMount(mountpoint));
  await mustRun(node, [PROGRAM, 'mount', ...unlockArgs(pair), pair.payload, mountpoint]);
  t.equal(runtimeOf((await statusOf(mountpoint)).pid), node);

  // A newer version in its place is run.
  fs.copyFileSync(process.execPath, `${node}.new`);
  fs.renameSync(`${node}.new`, node);
  t.equal(runtimeOf(await killServer(mountpoint)), node);

  fs.chmodSync(dir, 0o777);
  fs.writeFileSync(`${node}.new`, `#!/bin/sh\ntouch ${mark}\nprintf '!' >&3\nsleep 1\n`, { mode: 0o755 });
  fs.renameSync(`${node}.new`, node);
  t.equal(runtimeOf(await killServer(mountpoint)), `${node} (deleted)`, 'what is running already');
  t.notOk(fs.existsSync(mark));
  fs.rmSync(node);
  await killServer(mountpoint);
  await mustLuksfuse(['upgrade', mountpoint]);
  t.ok(fs.readFileSync(path.join(mountpoint, 'payload')).equals(pair.plaintext));
});
