/**
 * A `mount` that is killed before its daemon has answered: afterwards there is a mount that answers, or nothing of it.
 * `node killed-command.test.js 100` does so 100 times for each kind of mount.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { findMount } from '../../lib/mount/mount-table.js';
import { makePair, type Pair } from '../kit/cryptsetup.js';
import { clearMount, luksfuse, mustLuksfuse, PROGRAM, unlockArgs } from '../kit/luksfuse.js';
import { findHolders, waitUntil } from '../kit/processes.js';
import { Random } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { cleanEnv, run } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

const ROUNDS = Number(process.argv[2] ?? 8);
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const random = new Random(Number(process.env.SEED ?? 1));
const SIGNALS = ['SIGKILL', 'SIGTERM', 'SIGINT'] as const;

t.setTimeout(120_000 + ROUNDS * 10_000);

/** Does with the mount what a person would; false where it was being taken away, and did not have to work any more. */
async function use(t: Test, when: string, pair: Pair, mountpoint: string): Promise<boolean> {
  const { code, stderr } = await luksfuse(['status', mountpoint]);
  const { stdout } = await run('cat', [path.join(mountpoint, 'payload')]);
  const unmounted = await luksfuse(['umount', mountpoint]);
  if (unmounted.code !== 0) return false;
  t.equal(code, 0, `${when}: status ${stderr}`);
  t.ok(stdout.equals(pair.plaintext), `${when}: it can be read`);
  return true;
}

/** What is left works, or nothing is left. Returns whether it was mounted. */
async function checkLeft(t: Test, when: string, pair: Pair, mountpoint: string): Promise<boolean> {
  const pidFile = path.join(pair.dir, 'pid');
  let connection: number | null = null;
  // The daemon is at its beginning, or takes the mount away.
  await waitUntil(`${when}: it is over`, () => {
    const mount = findMount(mountpoint);
    connection = mount?.connection ?? connection;
    return mount ? fs.existsSync(pidFile) : findHolders(pair.payload).length === 0;
  });
  await delay(100);
  const wasMounted = findMount(mountpoint) !== null && (await use(t, when, pair, mountpoint));
  t.equal(findMount(mountpoint), null, `${when}: it can be used, or is gone`);
  await waitUntil(`${when}: all processes are gone`, () => findHolders(pair.payload).length === 0);
  for (const left of [pidFile, `/run/luksfuse/${connection}.sock`])
    t.notOk(fs.existsSync(left), `${when}: ${left}`);
  return wasMounted;
}

for (const [kind, ...options] of [
  ['supervised'],
  ['alone', '--no-supervise'],
  ['by the other driver', '--driver', 'fuse-native'],
]) {
  const isOther = options.includes('fuse-native');
  const skip = skipUnless({ root: true, fuse: true, fuseNative: isOther, tools: ['cryptsetup'] });
  t.test(`the command is killed at some moment: ${kind}`, { skip }, async (t) => {
    const pair = await makePair(t, { type: 'luks2', sizeBytes: 1024 * 1024 });
    const mountpoint = path.join(pair.dir, 'mountpoint');
    fs.mkdirSync(mountpoint);
    t.teardown(() => clearMount(mountpoint));
    const given = [...options, '--pid-file', path.join(pair.dir, 'pid'), ...unlockArgs(pair)];
    const args = ['mount', ...given, pair.payload, mountpoint];
    const begin = Date.now();
    await mustLuksfuse(args);
    const wholeMs = Date.now() - begin;
    await mustLuksfuse(['umount', mountpoint]);
    let mountedCount = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const signal = SIGNALS[round % SIGNALS.length]!;
      const atMs = Math.round((wholeMs * (round + random.below(100) / 100)) / ROUNDS);
      const child = spawn(PROGRAM, args, { stdio: 'ignore', env: cleanEnv() });
      const exited = once(child, 'exit');
      await delay(atMs);
      child.kill(signal);
      await exited;
      const wasMounted = await checkLeft(t, `${signal} after ${atMs} of ${wholeMs} ms`, pair, mountpoint);
      if (wasMounted) mountedCount += 1;
    }
    t.comment(`${mountedCount} of ${ROUNDS} were mounted`);
  });
}

const hook = new URL('./dying-daemon.js', import.meta.url).href;

/** `mount`, whose processes end as `how` says. */
async function mountDying(t: Test, how: string, options: readonly string[] = []) {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: 1024 * 1024 });
  const mountpoint = path.join(pair.dir, 'mountpoint');
  const pidFile = path.join(pair.dir, 'pid');
  fs.mkdirSync(mountpoint);
  t.teardown(() => clearMount(mountpoint));
  const given = ['--pid-file', pidFile, ...options, ...unlockArgs(pair)];
  const env = { DEBUG: `dying:${how}` };
  const result = await luksfuse(['mount', ...given, pair.payload, mountpoint], { hook, env });
  t.equal(result.code, 4);
  t.equal(findMount(mountpoint), null);
  t.strictSame(findHolders(pair.payload), []);
  t.notOk(fs.existsSync(pidFile));
  return result;
}

for (const how of ['early', 'unread']) {
  t.test(`an order that nobody takes (${how})`, { skip }, async (t) => {
    const daemonEnded = /mount: the daemon ended before its mount answered; see --foreground/;
    t.match(await mountDying(t, `supervisor:${how}`), { stderr: daemonEnded });
    t.match(await mountDying(t, `daemon:${how}`, ['--no-supervise']), { stderr: daemonEnded });
    const serverEnded = /mount: the server ended before it was ready \(status 3\)/;
    t.match(await mountDying(t, `server:${how}`), { stderr: serverEnded });
  });
}

t.test('no memory for the session, once it is tried', { skip }, async (t) => {
  t.match(await mountDying(t, 'supervisor:memfd'), { stderr: /mount: memfd_create: EPERM/ });
});

t.test('what the daemon cannot note takes the mount back', { skip }, async (t) => {
  const missing = path.join(makeTempDir(t), 'missing/pid');
  for (const options of [[], ['--no-supervise']]) {
    const given = [...options, '--pid-file', missing];
    t.match(await mountDying(t, '', given), { stderr: /mount: ENOENT.*missing\/pid/ });
  }
});
