/**
 * The package of npm: what is in it, and that it works where it is installed, with the Node that runs this test.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { PROJECT_DIR } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, type RunOptions, TOOL_PATH } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';
import { makeUsers, openFuseToAll } from '../kit/user.js';

const INSTALL_MS = 300_000;

const shared = makeTempDir(t);
fs.chmodSync(shared, 0o755);
// Where any user may run it, and with the name that the program's first line asks for.
const node = path.join(shared, 'node');
fs.copyFileSync(process.execPath, node);
fs.chmodSync(node, 0o755);
const npmProgram = TOOL_PATH.split(':')
  .map((dir) => path.join(dir, 'npm'))
  .find(fs.existsSync);
const npm = npmProgram && fs.realpathSync(npmProgram);

/** Runs a program as somebody, and throws unless it exits with 0. Returns what it printed. */
type MustRun = (command: string, args: readonly string[], options?: RunOptions) => Promise<string>;

const env = {
  PATH: `${shared}:${TOOL_PATH}`,
  npm_config_update_notifier: 'false',
  // npm speaks to its registry, which on some machines goes through a proxy with a certificate of the machine's own.
  NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS ?? '',
};
const asRoot: MustRun = async (command, args, options) =>
  (
    await mustRun(command, args, { timeoutMs: INSTALL_MS, ...options, env: { ...env, ...options?.env } })
  ).stdout.toString();

/** What npm has fetched once it need not fetch for the next install, nor for the next Node. */
const cache = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'luksfuse/npm');
fs.mkdirSync(cache, { recursive: true });

const packing = asRoot(
  node,
  [npm!, 'pack', '--json', '--ignore-scripts', '--pack-destination', shared, '--cache', cache],
  {
    cwd: PROJECT_DIR,
  },
).then((stdout) => {
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  return { tarball: path.join(shared, filename), paths: files.map((file) => file.path) };
});

t.test('the package holds the program once, its pages and documents, and nothing else', async (t) => {
  const { tarball, paths } = await packing;
  const ours = [
    /^(package\.json|README\.md|LICENSE|bin\/luksfuse)$/,
    /^dist\/lib\/(program\/.*|.*\.d\.ts)$/,
    /^man\/[\w-]+\.\d$/,
    /^lib\/(\w+\.md|systemd\/luksfuse@\.service)$/,
    /^test\/(\w+\/)?RESULTS[\w-]*\.md$/,
  ];
  t.same(
    paths.filter((name) => !ours.some((pattern) => pattern.test(name))),
    [],
  );
  t.ok(paths.includes('dist/lib/program/LICENSES'), 'licences of what is bundled');
  t.ok(fs.statSync(tarball).size < 700_000, `${fs.statSync(tarball).size} bytes`);
});

t.test('links of documents lead to files, in the tree and in the package', async (t) => {
  const { paths } = await packing;
  const documents = paths.filter((name) => name.endsWith('.md'));
  let count = 0;
  for (const name of documents) {
    const text = fs.readFileSync(path.join(PROJECT_DIR, name), 'utf8');
    for (const [, link] of text.matchAll(/\]\((?!\w+:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      const target = path.join(path.dirname(name), link!);
      count += 1;
      t.ok(fs.existsSync(path.join(PROJECT_DIR, target)), `${name}: ${link} is in the tree`);
      t.ok(paths.includes(target), `${name}: ${link} is in the package`);
    }
  }
  t.ok(count >= 5);
});

/** `npm install -g`; returns the program. */
async function install(run: MustRun, prefix: string, packages: readonly string[]): Promise<string> {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const own = path.join(prefix, 'cache');
  // A cache of its own, as the installer may be a user who cannot write to another's.
  fs.cpSync(cache, own, { recursive: true });
  const { uid, gid } = fs.statSync(prefix);
  await mustRun('chown', ['-R', `${uid}:${gid}`, own]);
  await run(node, [
    npm!,
    'install',
    '-g',
    '--prefix',
    prefix,
    '--cache',
    own,
    '--prefer-offline',
    ...quiet,
    ...packages,
  ]);
  fs.cpSync(own, cache, { recursive: true });
  return path.join(prefix, 'bin/luksfuse');
}

/** The main job, the manual and the completions, of an installed program. */
async function useInstalled(
  t: Test,
  run: MustRun,
  program: string,
  dir: string,
  mountArgs: string[] = [],
): Promise<void> {
  const { version } = JSON.parse(fs.readFileSync(path.join(PROJECT_DIR, 'package.json'), 'utf8'));
  t.equal((await run(program, ['--version'])).trim(), version);
  const script = `set -e
    cd "$1"
    mkdir mnt && truncate -s 1M payload && echo key >key && seq 1 1000 >text
    luksfuse format --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file key --header header payload
    luksfuse mount ${mountArgs.join(' ')} --key-file key --header header payload mnt
    dd if=text of=mnt/payload conv=notrunc,fsync status=none
    luksfuse status mnt
    luksfuse umount mnt
    luksfuse cat --key-file key --header header --length $(stat -c %s text) payload | cmp - text
    rm -r mnt payload key header text
    . /dev/stdin <<EOF
$(luksfuse completion bash)
EOF
    complete -p luksfuse`;
  const path_ = `${path.dirname(program)}:${env.PATH}`;
  const output = await run('bash', ['-c', script, 'bash', dir], { env: { PATH: path_ } });
  t.match(output, /complete .*_luksfuse luksfuse$/m);
  t.notOk(findMount(path.join(dir, 'mnt')));
  const man = path.join(path.dirname(program), '../share/man');
  for (const page of ['man1/luksfuse.1', 'man1/luksfuse-header.1', 'man5/luksfuse-format.5'])
    t.match(await run('cat', [path.join(man, page)]), /^\.Dt LUKSFUSE/m, page);
}

const CONSUMER = `
import fs from 'node:fs';
import { formatVolume, LuksError, mountVolume, openVolume, type Unlock } from 'luksfuse';

const [, , header, payload, mountpoint] = process.argv as [string, string, string, string, string];
const unlock: Unlock = { passphrase: Buffer.from('key') };
fs.writeFileSync(payload, Buffer.alloc(1024 * 1024));
await formatVolume({ header, payload }, Buffer.from('key'), { pbkdf: { type: 'pbkdf2', forceIterations: 1000 } });
const volume = await openVolume(payload, unlock, { headerPath: header });
volume.write(Buffer.from('plain text'), 1000);
volume.close();
const served = await mountVolume(payload, mountpoint, unlock, { headerPath: header, fileName: 'disk' });
const text = fs.readFileSync(mountpoint + '/disk').toString('latin1', 1000, 1010);
await served.unmount();
await openVolume(payload, { passphrase: Buffer.from('no') }, { headerPath: header }).catch((error: unknown) => {
  if (error instanceof LuksError) process.stdout.write(text + ' ' + error.code);
});
`;

/** A program in TypeScript that imports the installed library. */
async function useLibrary(t: Test, prefix: string, dir: string): Promise<void> {
  const modules = path.join(dir, 'node_modules');
  fs.mkdirSync(modules);
  fs.symlinkSync(path.join(prefix, 'lib/node_modules/luksfuse'), path.join(modules, 'luksfuse'));
  fs.symlinkSync(path.join(PROJECT_DIR, 'node_modules/@types'), path.join(modules, '@types'));
  fs.writeFileSync(path.join(dir, 'package.json'), '{ "type": "module" }');
  fs.writeFileSync(path.join(dir, 'consumer.ts'), CONSUMER);
  const strict = ['--strict', '--target', 'es2023', '--module', 'nodenext', '--types', 'node'];
  await asRoot(node, [path.join(PROJECT_DIR, 'node_modules/typescript/bin/tsc'), ...strict, 'consumer.ts'], {
    cwd: dir,
  });
  fs.mkdirSync(path.join(dir, 'mnt'));
  const files = ['header', 'payload', 'mnt'].map((name) => path.join(dir, name));
  t.equal(await asRoot(node, ['consumer.js', ...files], { cwd: dir }), 'plain text BAD_PASSPHRASE');
}

const skip = skipUnless({ root: true, fuse: true, tools: ['npm', 'bash', 'useradd'] });

t.test(
  'installed by root: the program, the library, the second driver',
  { skip, timeout: INSTALL_MS },
  async (t) => {
    const prefix = makeTempDir(t);
    const { tarball } = await packing;
    const program = await install(asRoot, prefix, [tarball]);
    await useInstalled(t, asRoot, program, makeTempDir(t));
    await useLibrary(t, prefix, makeTempDir(t));
    const noSecond = skipUnless({ fuseNative: true });
    if (noSecond) return t.comment(noSecond);
    const packages = path.join(prefix, 'lib/node_modules');
    t.same(fs.readdirSync(packages), ['luksfuse'], 'which is not there unless asked for');
    await install(asRoot, prefix, ['--ignore-scripts', 'fuse-native@2.2.6']);
    await useInstalled(t, asRoot, program, makeTempDir(t), ['--driver', 'fuse-native']);
  },
);

t.test('installed by a user', { skip, timeout: INSTALL_MS }, async (t) => {
  openFuseToAll(t);
  const [user] = await makeUsers(t, 1);
  const prefix = path.join(user!.home, 'prefix');
  const work = path.join(user!.home, 'work');
  for (const dir of [prefix, work]) {
    fs.mkdirSync(dir);
    fs.chownSync(dir, user!.uid, user!.gid);
  }
  const asUser: MustRun = async (command, args, options) => {
    const all = { timeoutMs: INSTALL_MS, ...options, env: { ...env, ...options?.env } };
    const { code, stdout, stderr } = await user!.run(command, args, all);
    if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${code}: ${stderr}${stdout}`);
    return stdout.toString();
  };
  const { tarball } = await packing;
  const program = await install(asUser, prefix, [tarball]);
  await useInstalled(t, asUser, program, work);
});
