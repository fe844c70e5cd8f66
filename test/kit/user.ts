/**
 * A real user without privileges, made for one test and gone after it, and the machine as packaged systems have it:
 * /dev/fuse open to all.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { flockSync, LOCK_EX } from '../../lib/native/file.js';
import { PROJECT_DIR } from './luksfuse.js';
import { mustRun, type RunOptions, type RunResult, run } from './run.js';
import { makeTempDir } from './temp.js';

const FUSE_CONF = '/etc/fuse.conf';
/** Where every user finds the program, whatever directory the checkout is in. */
const BRIDGE = 'program';

export interface TestUser {
  name: string;
  uid: number;
  gid: number;
  /** A directory of this user, on a file system that can be mounted on. */
  home: string;
  /** The program, where this user reaches it. */
  program: string;
  run(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  luksfuse(args: readonly string[], options?: RunOptions): Promise<RunResult>;
}

let userCount = 0;

/** Makes `count` users, each with a home directory and the program within reach. */
export async function makeUsers(t: Test, count: number): Promise<TestUser[]> {
  const bridge = path.join(makeTempDir(t), BRIDGE);
  fs.chmodSync(path.dirname(bridge), 0o755);
  fs.mkdirSync(bridge);
  // Read-only: whatever clears up the directory around it must not reach the checkout.
  await mustRun('mount', ['--bind', '-o', 'ro', PROJECT_DIR, bridge]);
  t.teardown(() => mustRun('umount', ['--lazy', bridge]));
  const program = path.join(bridge, 'bin/luksfuse');
  return Promise.all(Array.from({ length: count }, () => makeUser(t, program)));
}

async function makeUser(t: Test, program: string): Promise<TestUser> {
  const name = `lf${process.pid}n${userCount++}`;
  await mustRun('useradd', ['--no-create-home', '--user-group', '--shell', '/bin/sh', name]);
  t.teardown(() => mustRun('userdel', ['--force', name]));
  const passwd = fs.readFileSync('/etc/passwd', 'utf8').split('\n');
  const [, , uid, gid] = passwd.find((line) => line.startsWith(`${name}:`))!.split(':') as string[];
  const user = { uid: Number(uid), gid: Number(gid) };
  const home = makeTempDir(t);
  fs.chmodSync(home, 0o755);
  fs.chownSync(home, user.uid, user.gid);
  // The fallback for a user without XDG_RUNTIME_DIR.
  t.teardown(() => fs.rmSync(path.join('/tmp', `luksfuse-${uid}`), { recursive: true, force: true }));
  const runAs: TestUser['run'] = (command, args, options = {}) => {
    const env = { HOME: home, XDG_RUNTIME_DIR: '', ...options.env };
    return run(command, args, { cwd: home, ...options, env, user });
  };
  return {
    name,
    ...user,
    home,
    program,
    run: runAs,
    luksfuse: (args, options) => runAs(process.execPath, [program, ...args], options),
  };
}

/** /dev/fuse for everybody, until the end of `t`. One test at a time, on the whole machine, has it so. */
export function openFuseToAll(t: Test): void {
  const lock = fs.openSync(path.join(os.tmpdir(), 'luksfuse-test-machine.lock'), 'w');
  flockSync(lock, LOCK_EX);
  const { mode } = fs.statSync('/dev/fuse');
  fs.chmodSync('/dev/fuse', 0o666);
  t.teardown(() => {
    fs.chmodSync('/dev/fuse', mode & 0o777);
    fs.closeSync(lock);
  });
}

/** `user_allow_other` in /etc/fuse.conf while `work` runs. */
export async function whileAllowingOthers(work: () => Promise<void>): Promise<void> {
  const before = fs.readFileSync(FUSE_CONF);
  fs.appendFileSync(FUSE_CONF, '\nuser_allow_other\n');
  try {
    await work();
  } finally {
    fs.writeFileSync(FUSE_CONF, before);
  }
}
