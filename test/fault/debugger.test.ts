/**
 * Node opens a port for a debugger, to every user of the machine, at SIGUSR1 or by an option in the environment. No process
 * that has keys does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { mountInForeground, mountVolume, PROGRAM } from '../kit/luksfuse.js';
import { isRunning } from '../kit/processes.js';
import { skipUnless } from '../kit/requirements.js';
import { cleanEnv } from '../kit/run.js';
import { statusOf } from '../kit/serving.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

/** The listening TCP sockets of a process, by their inodes in /proc/net/tcp. */
function listPorts(pid: number): string[] {
  const own = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return /socket:\[(\d+)\]/.exec(fs.readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
    } catch {
      return undefined;
    }
  });
  const listening = ['tcp', 'tcp6'].flatMap((name) =>
    fs.readFileSync(`/proc/net/${name}`, 'ascii').split('\n').slice(1),
  );
  return listening
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && own.includes(inode))
    .map(([, address]) => address!);
}

async function checkClosed(t: Test, pids: number[], what: string): Promise<void> {
  for (const pid of pids) process.kill(pid, 'SIGUSR1');
  await delay(500);
  for (const pid of pids) {
    t.ok(isRunning(pid), `${what}: it lives`);
    t.strictSame(listPorts(pid), [], `${what}: nothing listens`);
  }
}

t.test('SIGUSR1', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2' });
  const supervised = await mountVolume(t, pair);
  const { pid, supervisorPid } = await statusOf(supervised.mountpoint);
  await checkClosed(t, [pid, supervisorPid!], 'supervisor and server');
  await supervised.umount();
  const alone = await mountVolume(t, pair, { args: ['--no-supervise'] });
  await checkClosed(t, [(await statusOf(alone.mountpoint)).pid], 'an unsupervised daemon');
  await alone.umount();
  const { child } = await mountInForeground(t, pair);
  await checkClosed(t, [child.pid!], 'in the foreground');
});

t.test('a command that waits for its key', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2' });
  const words = ['cat', '--header', pair.headerFile, '--key-command', 'sleep 60', pair.payload];
  const child: ChildProcess = spawn(PROGRAM, words, { stdio: 'ignore', env: cleanEnv(), detached: true });
  t.teardown(() => process.kill(-child.pid!, 'SIGKILL'));
  await delay(1500);
  await checkClosed(t, [child.pid!], 'a command');
});

t.test('a signal that comes before the program could take it', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2' });
  const words = ['cat', '--header', pair.headerFile, '--key-command', 'sleep 60', pair.payload];
  const children = [10, 20, 30, 40, 60, 80, 100].map((ms) => {
    const child = spawn(PROGRAM, words, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: cleanEnv(),
      detached: true,
    });
    t.teardown(() => {
      if (isRunning(child.pid!)) process.kill(-child.pid!, 'SIGKILL');
    });
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
    return { child, said: () => said, signalled: delay(ms).then(() => child.kill('SIGUSR1')) };
  });
  await Promise.all(children.map(({ signalled }) => signalled));
  await delay(4000);
  for (const { child, said } of children) {
    if (child.exitCode === null && child.signalCode === null)
      t.strictSame(listPorts(child.pid!), [], 'none listens');
    else if (child.signalCode !== null) t.equal(child.signalCode, 'SIGUSR1', 'it was not even node');
    else {
      t.equal(child.exitCode, 5);
      t.match(said(), /SIGUSR1.*start again/);
    }
  }
});

t.test('what the environment has for node', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2' });
  const env = { NODE_OPTIONS: '--inspect=127.0.0.1:0 --report-on-signal', LD_PRELOAD: '', SOME_SECRET: 'x' };
  const { mountpoint } = await mountVolume(t, pair, { env });
  const { pid, supervisorPid } = await statusOf(mountpoint);
  for (const one of [pid, supervisorPid!]) {
    t.strictSame(listPorts(one), []);
    const names = fs
      .readFileSync(`/proc/${one}/environ`, 'latin1')
      .split('\0')
      .map((each) => each.split('=')[0]);
    t.strictSame(
      names.filter((name) => /^(SOME_SECRET|LD_PRELOAD)$/.test(name!)),
      [],
    );
  }
});
