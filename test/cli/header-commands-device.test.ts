/**
 * Header commands beside other programs: locked headers, and volumes that are mounted meanwhile.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Device } from '../../lib/device.js';
import { withHeaderLock } from '../../lib/format/lock.js';
import { cryptsetup } from '../kit/cryptsetup.js';
import {
  bothOpen,
  keyFileOf,
  makeVolume,
  nameOf,
  refuses,
  says,
  VOLUME_KINDS,
} from '../kit/header-commands.js';
import { FAST_PBKDF2 } from '../kit/headers.js';
import { mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { TOOL_PATH } from '../kit/run.js';

const skip = skipUnless({ root: true, loop: true, fuse: true, tools: ['cryptsetup', 'flock'] });
const LOCKED = { exit: 5, code: 'BUSY', message: /is locked by another program; try again when it is done/ };
const DETACHED = VOLUME_KINDS.find(({ type, isAttached }) => type === 'luks2' && !isAttached)!;
const BLOCK = VOLUME_KINDS.find(({ type, isBlockDevice }) => type === 'luks2' && isBlockDevice)!;

/** The file that libcryptsetup locks for this header: itself, or one named after the block device's numbers. */
function lockFileOf(header: string): string {
  const stat = fs.statSync(header);
  return stat.isBlockDevice() ? `/run/cryptsetup/L_${stat.rdev >> 8}:${stat.rdev & 0xff}` : header;
}

/** Runs a command that holds a lock until its standard input ends; ended at the teardown of `t`. */
async function hold(t: Test, command: string, args: readonly string[]) {
  const env = { ...process.env, PATH: TOOL_PATH };
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env });
  const release = async () => {
    if (child.exitCode !== null) return;
    child.stdin.end();
    await once(child, 'exit');
  };
  t.teardown(release);
  await once(child.stdout, 'data');
  return release;
}

for (const kind of [DETACHED, BLOCK]) {
  t.test(`a header that is locked the way cryptsetup locks: ${nameOf(kind)}`, { skip }, async (t) => {
    const { header } = await makeVolume(t, kind, 'luksfuse');
    fs.mkdirSync('/run/cryptsetup', { recursive: true, mode: 0o700 });
    const release = await hold(t, 'flock', [lockFileOf(header), 'sh', '-c', 'echo held; cat']);
    await refuses(t, ['config', header, '--label', 'x'], LOCKED, [header]);
    await release();
    await says(t, ['config', header, '--label', 'x'], '');
  });

  t.test(`cryptsetup waits for our lock: ${nameOf(kind)}`, { skip }, async (t) => {
    const { header } = await makeVolume(t, kind, 'luksfuse');
    const device = Device.open(header, { isReadOnly: false });
    let isDone = false;
    let theirs!: Promise<void>;
    await withHeaderLock(device, async () => {
      theirs = cryptsetup('config', '--label', 'theirs', header).then(() => {
        isDone = true;
      });
      await delay(500);
      t.notOk(isDone, 'it waits');
    });
    device.close();
    await theirs;
    const { stdout } = await mustLuksfuse(['dump', header]);
    t.match(stdout.toString(), /label: +theirs/);
  });
}

t.test('keys change while the volume is mounted', { skip }, async (t) => {
  for (const kind of VOLUME_KINDS.filter(({ isAttached }) => isAttached)) {
    const files = await makeVolume(t, kind, 'luksfuse');
    const { header, payload, keyFile } = files;
    const { file, umount } = await mountVolume(t, { header: null, payload, keyFile });
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, 'before', 0);
    const args = ['add-key', header, ...FAST_PBKDF2, '-d', keyFile, keyFileOf(files, 'second')];
    await says(t, args, 'Keyslot 1 added.');
    fs.writeSync(fd, 'after', 4096);
    fs.closeSync(fd);
    const again = ['format', '-q', ...FAST_PBKDF2, '-d', keyFile, payload];
    await refuses(t, again, { exit: 5, code: 'BUSY', message: /in use|busy/ }, [header]);
    await umount();
    await bothOpen(t, header, 'second', 1, nameOf(kind));
    const mounted = await mountVolume(t, { header: null, payload, keyFile: keyFileOf(files, 'second') });
    t.equal(fs.readFileSync(mounted.file).toString('latin1', 4096, 4101), 'after');
    await mounted.umount();
  }
});
