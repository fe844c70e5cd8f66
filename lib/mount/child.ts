/**
 * How the processes of a mount are started: with what they need of the environment and no more. What the caller's shell has
 * for other programs (a debugger, a profiler, a preloaded library) would get at the keys.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findRuntime } from './trusted-program.js';

/** Places, languages, and whom a service manager's child reports to. */
const ENVIRONMENT = [
  ...['PATH', 'HOME', 'TMPDIR', 'XDG_RUNTIME_DIR', 'LANG', 'LC_ALL', 'LC_MESSAGES', 'TZ'],
  ...['DEBUG', 'NOTIFY_SOCKET', 'OPENSSL_CONF', 'OPENSSL_MODULES'],
];
/** Ciphers may hang on these. */
const NODE_OPTIONS = /^--(openssl-[a-z-]+|enable-fips|force-fips)(=.*)?$/;
/** What opens a process to others, of node's options on the command line. */
const OPENING = /^--(inspect|debug|report|heap|cpu-prof|trace|diagnostic)/;
/**
 * A package that is not there is not to be had from the user's home directory; and SIGUSR1 opens no port for a debugger while
 * the module is loaded. Nodes that do not know this option open it, and `native/shield` closes it.
 */
const CLOSING_NODE_OPTIONS = ['--no-global-search-paths', '--disable-sigusr1'].filter((option) =>
  process.allowedNodeEnvironmentFlags.has(option),
);

function ownEnvironment(): Record<string, string> {
  const kept = ENVIRONMENT.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const nodeOptions = (process.env.NODE_OPTIONS ?? '')
    .split(' ')
    .filter((option) => NODE_OPTIONS.test(option));
  return { ...Object.fromEntries(kept), NODE_OPTIONS: nodeOptions.join(' ') };
}

/**
 * Starts a module of this project in a process of its own, with node's options of this one. Throws the system's error where
 * it does not start; of one that was started, `signal` alone tells that it was killed.
 */
export async function spawnModule(entry: string, options: SpawnOptions): Promise<ChildProcess> {
  const kept = process.execArgv.filter(
    (option) => !OPENING.test(option) && !CLOSING_NODE_OPTIONS.includes(option),
  );
  const runtime = await findRuntime();
  const child = spawn(runtime, [...CLOSING_NODE_OPTIONS, ...kept, entry], {
    cwd: '/',
    argv0: process.execPath,
    ...options,
    env: ownEnvironment(),
  });
  child.on('error', () => {});
  await once(child, 'spawn');
  return child;
}
