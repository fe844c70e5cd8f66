/**
 * How the processes of a mount are started: with what they need of the environment and no more. What the caller's shell has
 * for other programs (a debugger, a profiler, a preloaded library) would get at the keys.
 */

import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import type { ServerProgram } from './control.js';

/** Places, languages, and whom a service manager's child reports to. */
const ENVIRONMENT = [
  ...['PATH', 'HOME', 'TMPDIR', 'XDG_RUNTIME_DIR', 'LANG', 'LC_ALL', 'LC_MESSAGES', 'TZ'],
  ...['DEBUG', 'NOTIFY_SOCKET', 'OPENSSL_CONF', 'OPENSSL_MODULES'],
];
/** Ciphers may hang on these. */
const NODE_OPTIONS = /^--(openssl-[a-z-]+|enable-fips|force-fips)(=.*)?$/;
/** What opens a process to others, of node's options on the command line. */
const OPENING = /^--(inspect|debug|report|heap|cpu-prof|trace|diagnostic)/;

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

/** A port for a debugger opens at this signal until the module has a listener: `native/shield` closes it, newer nodes open none. */
const CLOSED = ['--disable-sigusr1'].filter((option) => process.allowedNodeEnvironmentFlags.has(option));

/** Starts a module of this project in a process of its own, with node's options of this one. */
export function spawnModule({ node, entry }: ServerProgram, options: SpawnOptions): ChildProcess {
  const nodeArgs = process.execArgv.filter((option) => !OPENING.test(option));
  return spawn(node, [...CLOSED, ...nodeArgs, entry], { cwd: '/', ...options, env: ownEnvironment() });
}
