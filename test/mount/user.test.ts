/**
 * Mounts without root, by a real user: everything through the command line, as that user has it.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { makePair, type Pair } from '../kit/cryptsetup.js';
import { clearMount, unlockArgs } from '../kit/luksfuse.js';
import { withoutPath } from '../kit/masked.js';
import { findMount } from '../kit/mounts.js';
import { isRunning, requireHolder, waitUntil } from '../kit/processes.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { makeUsers, openFuseToAll, type TestUser, whileAllowingOthers } from '../kit/user.js';

import { skipFor } from './conformance-suite.js';

const skip = skipUnless({
  root: true,
  fuse: true,
  tools: ['fusermount3', 'useradd', 'userdel', 'cryptsetup', 'cat', 'dd'],
});

t.test('a user mounts', { skip }, async (t) => {
  openFuseToAll(t);
  const [owner, other] = (await makeUsers(t, 2)) as [TestUser, TestUser];
  const pair = await makePair(t, { type: 'luks2' });
  fs.chmodSync(pair.dir, 0o755);
  for (const file of [pair.payload, pair.headerFile, pair.keyFile]) fs.chownSync(file, owner.uid, owner.gid);

  /** A fresh mountpoint of the owner's. */
  let count = 0;
  const makeMountpoint = (t: Test, kind: 'directory' | 'file'): string => {
    const mountpoint = path.join(owner.home, `${kind}-${count++}`);
    if (kind === 'file') fs.writeFileSync(mountpoint, 'hidden while mounted');
    else fs.mkdirSync(mountpoint);
    fs.chownSync(mountpoint, owner.uid, owner.gid);
    t.teardown(() => clearMount(mountpoint));
    return mountpoint;
  };
  const mount = (mountpoint: string, args: string[] = [], options = {}) =>
    owner.luksfuse(['mount', ...unlockArgs(pair), ...args, pair.payload, mountpoint], options);
  /** Mounts on a fresh directory, and returns it. */
  const mounted = async (t: Test, args: string[] = [], options = {}): Promise<string> => {
    const mountpoint = makeMountpoint(t, 'directory');
    const { code, stderr } = await mount(mountpoint, args, options);
    if (code !== 0) throw new Error(stderr);
    return mountpoint;
  };
  const umount = (mountpoint: string, args: string[] = [], options = {}) =>
    owner.luksfuse(['umount', ...args, mountpoint], options);
  /** Whether `user` can read the file's first bytes. */
  const reads = async (user: TestUser, file: string) =>
    (await user.run('dd', [`if=${file}`, 'of=/dev/null', 'bs=512', 'count=1'])).code === 0;

  for (const kind of ['directory', 'file'] as const) {
    await t.test(`on a ${kind}, reads, writes and unmounts`, async (t) => {
      const mountpoint = makeMountpoint(t, kind);
      const { code, stdout, stderr } = await mount(mountpoint);
      t.equal(code, 0, stderr);
      const file = kind === 'file' ? mountpoint : path.join(mountpoint, 'payload');
      t.equal(stdout.toString().trim(), file);
      t.match(findMount(mountpoint), {
        type: 'fuse.luksfuse',
        source: pair.payload,
        options: /user_id/,
      });
      t.ok(findMount(mountpoint)?.options.includes(`user_id=${owner.uid}`));
      t.ok((await owner.run('cat', [file])).stdout.equals(pair.plaintext), 'the bytes are those');
      const change = new Random(3).bytes(5000);
      const args = [`of=${file}`, 'conv=notrunc', 'oflag=seek_bytes', 'seek=777'];
      t.equal((await owner.run('dd', args, { input: change })).code, 0);
      pair.plaintext.set(change, 777);
      const unmounted = await umount(mountpoint);
      t.equal(unmounted.code, 0, unmounted.stderr);
      t.equal(findMount(mountpoint), null);
      t.throws(() => requireHolder(pair.payload), 'the daemon has closed the payload');
      const { stdout: back } = await owner.luksfuse(['cat', ...unlockArgs(pair), pair.payload]);
      t.ok(back.equals(pair.plaintext), 'the payload has what was written');
    });
  }

  await t.test('nobody else gets in, not even root', async (t) => {
    const mountpoint = await mounted(t, ['--mode', '0666']);
    const file = path.join(mountpoint, 'payload');
    t.ok(await reads(owner, file));
    t.notOk(await reads(other, file));
    t.throws(() => fs.readdirSync(mountpoint), { code: 'EACCES' });
    const daemon = requireHolder(pair.payload);
    t.not(
      (await owner.run('cat', [`/proc/${daemon}/environ`])).code,
      0,
      'the daemon shows nothing of itself',
    );
    const refused = await other.luksfuse(['umount', mountpoint]);
    t.equal(refused.code, 1);
    t.match(refused.stderr, /another user mounted it/);
    t.equal((await umount(mountpoint)).code, 0);
  });

  await t.test('--allow-other and --allow-root need leave in /etc/fuse.conf', async (t) => {
    for (const option of ['--allow-other', '--allow-root']) {
      const mountpoint = makeMountpoint(t, 'directory');
      const { code, stderr } = await mount(mountpoint, [option]);
      t.equal(code, 4);
      t.match(stderr, /user_allow_other.*have root add it/);
      t.equal(findMount(mountpoint), null);
      t.throws(() => requireHolder(pair.payload), 'no daemon is left');
    }
    t.equal((await mount(makeMountpoint(t, 'file'), ['--allow-other', '--allow-root'])).code, 1, 'not both');
  });

  await t.test('--allow-other lets others in as the mode says', async (t) => {
    await whileAllowingOthers(async () => {
      for (const [mode, isReadable] of [
        ['0644', true],
        ['0600', false],
      ] as const) {
        const mountpoint = await mounted(t, ['--allow-other', '--mode', mode]);
        t.equal(await reads(other, path.join(mountpoint, 'payload')), isReadable, mode);
        t.equal(fs.readdirSync(mountpoint).length, 1, 'root reads everything');
        t.equal((await umount(mountpoint)).code, 0);
      }
    });
  });

  await t.test('--allow-root lets root in, and nobody else whatever the mode', async (t) => {
    await whileAllowingOthers(async () => {
      const mountpoint = await mounted(t, ['--allow-root', '--mode', '0666']);
      const file = path.join(mountpoint, 'payload');
      t.notOk(await reads(other, file));
      t.not((await other.run('ls', [mountpoint])).code, 0);
      t.ok(await reads(owner, file));
      t.ok(fs.readFileSync(file).equals(pair.plaintext));
      t.equal((await umount(mountpoint)).code, 0);
    });
  });

  await t.test('--uid, --gid and --mode are what stat shows', async (t) => {
    const mountpoint = makeMountpoint(t, 'file');
    t.equal((await mount(mountpoint, ['--uid', '12', '--gid', '34', '--mode', '0640'])).code, 0);
    const { stdout } = await owner.run('stat', ['-c', '%u %g %a', mountpoint]);
    t.equal(stdout.toString().trim(), '12 34 640');
    t.notOk(await reads(owner, mountpoint), 'and the kernel holds to it');
    const { code, stderr } = await umount(mountpoint);
    t.equal(code, 0, stderr);
  });

  await t.test('a mountpoint that is not the user’s', async (t) => {
    const ofRoot = path.join(pair.dir, 'of-root');
    fs.mkdirSync(ofRoot, { mode: 0o755 });
    const fileOfRoot = path.join(pair.dir, 'file-of-root');
    fs.writeFileSync(fileOfRoot, '', { mode: 0o644 });
    for (const mountpoint of [ofRoot, fileOfRoot, '/tmp']) {
      const { code, stderr } = await mount(mountpoint);
      t.equal(code, 1, mountpoint);
      t.match(stderr, `cannot mount on ${mountpoint}: a user mounts only where he may write`);
    }
  });

  await t.test('what the machine lacks is named with its cure', async (t) => {
    const mountpoint = makeMountpoint(t, 'directory');
    const { code, stderr } = await mount(mountpoint, [], { env: { PATH: '/nowhere' } });
    t.equal(code, 4);
    t.match(stderr, /fusermount3.*install fuse3/);
    fs.chmodSync('/dev/fuse', 0o600);
    const refused = await mount(mountpoint);
    fs.chmodSync('/dev/fuse', 0o666);
    t.equal(refused.code, 4);
    t.match(refused.stderr, /cannot open \/dev\/fuse: EACCES.*chmod 666/);
  });

  await t.test('a mount in use stays, or goes lazily', async (t) => {
    const mountpoint = await mounted(t);
    const script =
      'exec 7<"$1/payload"; "$2" "$3" umount "$1"; echo $?; "$2" "$3" umount -l "$1"; echo $?; cat <&7';
    const { stdout, stderr } = await owner.run('sh', [
      '-c',
      script,
      'sh',
      mountpoint,
      process.execPath,
      owner.program,
    ]);
    t.equal(stdout.subarray(0, 4).toString(), '5\n0\n', stderr);
    t.match(stderr, /is in use/);
    t.ok(stdout.subarray(4).equals(pair.plaintext), 'the open file goes on');
    t.equal(findMount(mountpoint), null);
    await waitUntil('the daemon has gone with the last user', () => !isHeld(pair));
  });

  await t.test('the mount outlives its server', async (t) => {
    const mountpoint = await mounted(t);
    const server = requireHolder(pair.payload);
    process.kill(server, 'SIGKILL');
    const { stdout } = await owner.run('cat', [path.join(mountpoint, 'payload')]);
    t.ok(stdout.equals(pair.plaintext));
    t.not(requireHolder(pair.payload), server);
    t.equal((await umount(mountpoint)).code, 0);
  });

  await t.test('the mount of a daemon that was killed is cleared', async (t) => {
    for (const kind of ['directory', 'file'] as const) {
      const mountpoint = makeMountpoint(t, kind);
      t.equal((await mount(mountpoint, ['--no-supervise'])).code, 0);
      const daemon = requireHolder(pair.payload);
      process.kill(daemon, 'SIGKILL');
      await waitUntil('it is dead', () => !isRunning(daemon));
      const { code, stderr } = await umount(mountpoint);
      t.equal(code, 0, stderr);
      t.equal(findMount(mountpoint), null);
    }
  });

  await t.test('the control socket is out of the reach of others', async (t) => {
    const ofUser = path.join(owner.home, 'runtime');
    fs.mkdirSync(ofUser, { mode: 0o700 });
    fs.chownSync(ofUser, owner.uid, owner.gid);
    const fallback = `/tmp/luksfuse-${owner.uid}`;
    const ofOther = path.join(other.home, 'runtime');
    fs.mkdirSync(ofOther, { mode: 0o700 });
    for (const [given, expected] of [
      [ofUser, path.join(ofUser, 'luksfuse')],
      ['', fallback],
      // As su(1) leaves it.
      [ofOther, fallback],
    ] as const) {
      fs.rmSync(fallback, { recursive: true, force: true });
      const options = { env: { XDG_RUNTIME_DIR: given } };
      const mountpoint = await mounted(t, [], options);
      t.match(fs.statSync(expected), { mode: 0o40700, uid: owner.uid });
      t.equal(fs.readdirSync(expected).length, 1);
      t.equal((await umount(mountpoint, [], options)).code, 0);
    }
    fs.rmSync(fallback, { recursive: true, force: true });
    for (const prepare of [
      () => fs.symlinkSync(owner.home, fallback),
      () => fs.mkdirSync(fallback, { mode: 0o700 }), // root's
      () => {
        fs.mkdirSync(fallback, { mode: 0o755 });
        fs.chownSync(fallback, owner.uid, owner.gid);
      },
    ]) {
      prepare();
      const mountpoint = await mounted(t);
      const inHome = path.join(owner.home, '.cache/luksfuse');
      t.match(fs.statSync(inHome), { mode: 0o40700, uid: owner.uid }, 'a place that nobody else has taken');
      t.equal(fs.readdirSync(inHome).length, 1);
      t.equal((await umount(mountpoint)).code, 0);
      fs.rmSync(fallback, { recursive: true, force: true });
    }
  });

  await t.test('the other driver serves a user as well', { skip: skipFor('fuse-native') }, async (t) => {
    const mountpoint = await mounted(t, ['--driver', 'fuse-native', '--mode', '0666']);
    const file = path.join(mountpoint, 'payload');
    t.ok((await owner.run('cat', [file])).stdout.equals(pair.plaintext));
    t.notOk(await reads(other, file));
    t.equal((await umount(mountpoint)).code, 0);
    await whileAllowingOthers(async () => {
      const rootToo = await mounted(t, ['--driver', 'fuse-native', '--allow-root', '--mode', '0666']);
      t.notOk(await reads(other, path.join(rootToo, 'payload')));
      t.equal((await umount(rootToo)).code, 0);
    });
  });

  await t.test('without koffi: the one driver says why not, auto takes the other', async (t) => {
    const koffi = path.join(path.dirname(owner.program), '../node_modules/koffi');
    // All in one go: the mount is seen only by those who do not see koffi.
    const script = 'out=$("$@") || exit; cat "$out"; "$1" "$2" umount "$(dirname "$out")" >&2';
    const mountWithout = (mountpoint: string, driver: string) => {
      const user = ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
      const shell = ['/usr/bin/env', '-u', 'NODE_OPTIONS', 'XDG_RUNTIME_DIR=', 'sh', '-c', script, 'sh'];
      const args = ['mount', ...unlockArgs(pair), '--driver', driver, pair.payload, mountpoint];
      return run(...withoutPath(koffi, [...user, ...shell, process.execPath, owner.program, ...args]));
    };
    const refused = await mountWithout(makeMountpoint(t, 'directory'), 'dev-fuse');
    t.equal(refused.code, 4);
    t.match(refused.stderr, /needs the package koffi.*mount as root/);
    const onFile = await mountWithout(makeMountpoint(t, 'file'), 'auto');
    t.match(onFile.stderr, /needs the package koffi/, 'which the other one cannot do');
    if (skipFor('fuse-native')) return;
    const served = await mountWithout(makeMountpoint(t, 'directory'), 'auto');
    t.equal(served.code, 0, served.stderr);
    t.ok(served.stdout.equals(pair.plaintext));
    t.throws(() => requireHolder(pair.payload), 'the daemon has gone');
  });

  await t.test('a payload whose name mount options could trip over', async (t) => {
    const payload = path.join(owner.home, 'a,b\\c d');
    fs.copyFileSync(pair.payload, payload);
    fs.chownSync(payload, owner.uid, owner.gid);
    const mountpoint = makeMountpoint(t, 'directory');
    const { code, stderr } = await owner.luksfuse(['mount', ...unlockArgs(pair), payload, mountpoint]);
    t.equal(code, 0, stderr);
    t.equal(findMount(mountpoint)?.source, payload);
    t.equal((await umount(mountpoint)).code, 0);
  });
});

function isHeld(pair: Pair): boolean {
  try {
    return requireHolder(pair.payload) > 0;
  } catch {
    return false;
  }
}
