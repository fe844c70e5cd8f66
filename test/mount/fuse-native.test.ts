import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { mountVolume, PROGRAM, PROJECT_DIR, unlockArgs } from '../kit/luksfuse.js';
import { withoutPath } from '../kit/masked.js';
import { run } from '../kit/run.js';
import { ROWS, runRows, skipFor } from './conformance-suite.js';
import { MountedStore } from './mounted-store.js';

const skip = skipFor('fuse-native');

t.test('fuse-native on a directory', { skip }, (t) => runRows(t, 'fuse-native', 'directory'));

t.test('what fuse-native cannot at all is refused', { skip }, async (t) => {
  for (const [kind, request, reason] of [
    ['file', {}, /mounts on directories only/],
    ['directory', { cache: 'writeback' }, /no writeback cache/],
    ['directory', { workerCount: 2 }, /one thread/],
  ] as const) {
    const error = { code: 'BAD_ARGUMENT', message: reason };
    await t.rejects(MountedStore.mount(t, 'fuse-native', kind, request), error);
  }
});

/** Where the dynamic linker finds libfuse 2. */
function findLibfuse(): string {
  const cache = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' });
  return /libfuse\.so\.2 .*=> (.*)/.exec(cache)![1]!;
}

t.test('where the package or libfuse 2 is missing, the error names what to install', { skip }, async (t) => {
  const payload = path.join(t.testdir({ payload: 'x', mountpoint: {} }), 'payload');
  const mount = ['mount', '--driver', 'fuse-native', payload, path.join(path.dirname(payload), 'mountpoint')];
  for (const missing of [findLibfuse(), path.join(PROJECT_DIR, 'node_modules/fuse-native')]) {
    const { code, stderr } = await run(...withoutPath(missing, [PROGRAM, ...mount]));
    t.equal(code, 4, missing);
    t.match(stderr, /cannot load fuse-native: .*install libfuse2.*npm install -g/);
  }
});

/** As a set, a bit each from SIGHUP on. */
function signalSet(...signals: NodeJS.Signals[]): bigint {
  return signals.reduce((set, signal) => set | (1n << BigInt(constants.signals[signal] - 1)), 0n);
}

const volumeSkip = skip || skipFor('fuse-native', ['cryptsetup']);

t.test('a volume on the command line', { skip: volumeSkip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2' });
  const mounted = await mountVolume(t, pair, { args: ['--driver', 'fuse-native'] });
  const status = await run(PROGRAM, ['status', '--json', mounted.mountpoint]);
  t.match(JSON.parse(status.stdout.toString()), { driver: 'fuse-native', activity: { workers: 1 } });
  t.ok((await run('cat', [mounted.file])).stdout.equals(pair.plaintext));
  const change = Buffer.alloc(5000, 'luks');
  await run('dd', [`of=${mounted.file}`, 'conv=notrunc', 'oflag=seek_bytes', 'seek=777'], { input: change });
  pair.plaintext.set(change, 777);
  await mounted.umount();
  const { stdout } = await run(PROGRAM, ['cat', ...unlockArgs(pair), pair.payload]);
  t.ok(stdout.equals(pair.plaintext));
});

t.test('no signal ends up in a thread of libfuse', { skip }, async (t) => {
  const mounted = await MountedStore.mount(t, 'fuse-native', 'directory');
  // Several at once, so that libfuse starts more than its first.
  await Promise.all(Array.from({ length: 8 }, () => run('cat', [mounted.path])));
  const blocked = (thread: string) => {
    const status = fs.readFileSync(`/proc/${mounted.hostPid}/task/${thread}/status`, 'ascii');
    return BigInt(`0x${/^SigBlk:\s*(\w+)/m.exec(status)![1]}`);
  };
  const isLibfuse = (thread: string) =>
    fs.readFileSync(`/proc/${mounted.hostPid}/task/${thread}/wchan`, 'ascii') === 'fuse_dev_do_read';
  const threads = fs.readdirSync(`/proc/${mounted.hostPid}/task`).filter(isLibfuse);
  t.ok(threads.length > 0);
  const all = signalSet('SIGCHLD', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1');
  for (const thread of threads) t.equal(blocked(thread) & all, all);
  t.equal(blocked(`${mounted.hostPid}`), 0n, 'the main thread takes them');
});

t.test('every difference is one', async (t) => {
  for (const { name, expected, fuseNative } of ROWS) {
    if (fuseNative) t.notSame(fuseNative.expected, expected, name);
  }
});
