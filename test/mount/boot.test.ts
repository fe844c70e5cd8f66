import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { luksfuse, mustLuksfuse, PROGRAM, PROJECT_DIR, unlockArgs } from '../kit/luksfuse.js';
import { findMount } from '../kit/mounts.js';
import { isRunning, waitUntil } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'unshare'] });
const pairOptions = { type: 'luks2', pbkdf: 'pbkdf2', sizeBytes: 1024 * 1024 } as const;

t.test('mount(8) mounts it by type and from fstab, in a mount namespace', { skip }, async (t) => {
  const pair = await makePair(t, pairOptions);
  const dir = makeTempDir(t);
  const [target, fstab, sbin] = ['mnt', 'fstab', 'sbin'].map((name) => path.join(dir, name)) as [
    string,
    string,
    string,
  ];
  fs.mkdirSync(target);
  fs.mkdirSync(sbin);
  const expected = path.join(dir, 'expected');
  fs.writeFileSync(expected, pair.plaintext);
  const options = `header=${pair.header},key_file=${pair.keyFile}`;
  const line = `${pair.payload} ${target} fuse.luksfuse ro,noauto,nofail,_netdev,x-systemd.automount,${options} 0 0\n`;
  fs.writeFileSync(fstab, line);
  // Where mount(8) looks for helpers, this one is laid over what is there; all of it ends with the namespace.
  const script = `
    set -e
    mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work
    mount -t overlay none -o lowerdir=/usr/sbin,upperdir=/mnt/upper,workdir=/mnt/work /usr/sbin
    ln -s ${PROGRAM} /usr/sbin/mount.fuse.luksfuse
    [ -L /sbin ] || mount --bind /usr/sbin /sbin
    mount --bind ${fstab} /etc/fstab
    mount ${target}
    cmp ${target}/payload ${expected}
    if touch ${target}/payload 2>/dev/null; then echo writable; exit 9; fi
    umount ${target}
    mount -t fuse.luksfuse -o ${options} ${pair.payload} ${target}
    cmp ${target}/payload ${expected}
    ${PROGRAM} umount ${target}
    if mount -t fuse.luksfuse -o bogus ${pair.payload} ${target} 2>&1; then exit 9; fi`;
  const result = await run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script]);
  t.equal(result.code, 0, `${result.stdout}${result.stderr}`);
  t.match(result.stdout.toString(), /unknown mount option "bogus"/);
});

t.test('--pid-file names the daemon, and goes with it', { skip }, async (t) => {
  const pair = await makePair(t, pairOptions);
  const dir = makeTempDir(t);
  const pidFile = path.join(dir, 'pid');
  fs.mkdirSync(path.join(dir, 'mnt'));
  const mountpoint = path.join(dir, 'mnt');
  await mustLuksfuse(['mount', '--pid-file', pidFile, ...unlockArgs(pair), pair.payload, mountpoint]);
  const status = JSON.parse((await mustLuksfuse(['status', '--json', mountpoint])).stdout.toString());
  t.equal(fs.readFileSync(pidFile, 'utf8'), `${status.supervisorPid}\n`, 'which lives as long as the mount');
  await mustLuksfuse(['umount', mountpoint]);
  t.notOk(fs.existsSync(pidFile));
});

t.test('--idle-unmount ends what nobody uses, and nothing else', { skip }, async (t) => {
  const pair = await makePair(t, pairOptions);
  const dir = makeTempDir(t);
  const idle = ['--idle-unmount', '0.02', ...unlockArgs(pair), pair.payload, dir];
  const { stdout } = await mustLuksfuse(['mount', ...idle]);
  const fd = fs.openSync(stdout.toString().trim(), 'r');
  await delay(3000);
  t.ok(findMount(dir), 'an open file keeps it');
  fs.closeSync(fd);
  await waitUntil('the mount is gone', () => !findMount(dir), 20_000);
});

t.test('the mount of a dead daemon is cleared by the next mount', { skip }, async (t) => {
  const pair = await makePair(t, pairOptions);
  const dir = makeTempDir(t);
  const mount = ['mount', '--no-supervise', ...unlockArgs(pair), pair.payload, dir];
  await mustLuksfuse(mount);
  const { pid } = JSON.parse((await mustLuksfuse(['status', '--json', dir])).stdout.toString());
  process.kill(pid, 'SIGKILL');
  await waitUntil('the daemon is dead', () => !isRunning(pid));
  t.equal((await luksfuse(mount)).code, 0);
  await mustLuksfuse(['umount', dir]);
  t.notOk(findMount(dir));
});

const systemdSkip = skipUnless({ tools: ['systemd-analyze'] });
t.test('the unit for systemd is sound', { skip: systemdSkip }, async (t) => {
  const unit = fs.readFileSync(path.join(PROJECT_DIR, 'lib/systemd/luksfuse@.service'), 'utf8');
  const file = path.join(makeTempDir(t), 'luksfuse@vault.service');
  // It is verified against programs that are there; manual pages are not installed.
  fs.writeFileSync(
    file,
    unit.replace(/=(-?)luksfuse /g, `=$1${PROGRAM} `).replace(/^Documentation=.*\n/m, ''),
  );
  const { code, stderr } = await run('systemd-analyze', ['verify', file]);
  t.equal(code, 0, stderr.toString());
  t.notMatch(stderr.toString(), /luksfuse@vault/);
});

t.test(
  'readiness reaches the service manager',
  { skip: skipUnless({ root: true, fuse: true, tools: ['systemd-notify'] }) },
  async (t) => {
    const pair = await makePair(t, pairOptions);
    const dir = makeTempDir(t);
    const mountpoint = path.join(dir, 'mnt');
    const bin = path.join(dir, 'bin');
    fs.mkdirSync(mountpoint);
    fs.mkdirSync(bin);
    // Stands in for the program that knows the datagram protocol, and writes down what it was told.
    const told = path.join(dir, 'told');
    fs.writeFileSync(path.join(bin, 'systemd-notify'), `#!/bin/sh\necho "$NOTIFY_SOCKET $*" > ${told}\n`, {
      mode: 0o755,
    });
    const env = { PATH: `${bin}:${process.env.PATH}`, NOTIFY_SOCKET: '/run/example' };
    await mustLuksfuse(['mount', ...unlockArgs(pair), pair.payload, mountpoint], { env });
    t.match(
      fs.readFileSync(told, 'utf8'),
      new RegExp(`^/run/example --ready --pid=\\d+ --status=${pair.payload} on ${mountpoint}`),
    );
    await mustLuksfuse(['umount', mountpoint]);
  },
);
