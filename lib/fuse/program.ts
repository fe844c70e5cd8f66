/**
 * Runs the programs that mount and unmount, and collects what they complain of.
 */
import { spawn } from 'node:child_process';
import createDebug from 'debug';
import { LuksError } from '../errors.js';
import { encodeName, isUtf8 } from '../native/raw-names.js';

const debug = createDebug('luksfuse:fuse');

/** The number that an inherited descriptor has in the program: the first after stderr. */
export const INHERITED_FD = 3;

export interface ProgramOptions {
  /** The Debian package that has the program. */
  package: string;
  /** A descriptor for the program to have as INHERITED_FD. */
  inheritedFd?: number;
  env?: Record<string, string>;
  /** After this it is left to itself: what waits in the kernel cannot always be killed. Else LIMIT_MS. */
  timeoutMs?: number;
}

/** A slow disk with much to write, and it still has an end. */
export const LIMIT_MS = 600_000;

export interface ProgramResult {
  status: number;
  stderr: string;
}

/** Resolves when the program has ended. Throws UNSUPPORTED where it cannot be started, DEVICE_IO where it takes too long. */
export function runProgram(program: string, args: string[], options: ProgramOptions): Promise<ProgramResult> {
  debug('%s %s', program, args.join(' '));
  const { inheritedFd, env, timeoutMs = LIMIT_MS } = options;
  return new Promise((resolve, reject) => {
    const isPlain = args.every(isUtf8);
    const child = spawn(isPlain ? program : 'xargs', isPlain ? args : ['-0', program], {
      stdio: [
        isPlain ? 'ignore' : 'pipe',
        'ignore',
        'pipe',
        ...(inheritedFd === undefined ? [] : [inheritedFd]),
      ],
      env: { ...process.env, LC_ALL: 'C', ...env },
    });
    // Node's arguments are text; those of xargs(1) are what it reads.
    child.stdin?.on('error', () => {}).end(encodeName(args.map((arg) => `${arg}\0`).join('')));
    const giveUp = () => {
      child.kill('SIGKILL');
      child.unref();
      child.stderr?.destroy();
      reject(
        new LuksError(
          'DEVICE_IO',
          `${program} was not done in ${timeoutMs / 1000} s; see whether the storage answers`,
        ),
      );
    };
    const timer = setTimeout(giveUp, timeoutMs);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (cause) => {
      clearTimeout(timer);
      const message = `cannot run ${program}: ${cause.message}; install ${options.package}`;
      reject(new LuksError('UNSUPPORTED', message, { cause }));
    });
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status: status ?? -1, stderr: stderr.trim() });
    });
  });
}
