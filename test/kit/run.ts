/**
 * Runs a program and collects what it said. Knows nothing of which program.
 */
import { type ChildProcess, type ForkOptions, fork, spawn } from 'node:child_process';
import processOnSpawn from 'process-on-spawn';

export interface RunOptions {
  /** Bytes for stdin; without them stdin is /dev/null. */
  input?: Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  timeoutMs?: number;
  /** Run as somebody else, with no other groups. */
  user?: { uid: number; gid: number };
}

export interface RunResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
  elapsedMs: number;
}

// By this the test runner has every process load its hooks, whatever environment it is started with: that costs each a
// third of a second, and on Node 26 a program that is named without ".js" does not start with them.
processOnSpawn.removeAllListeners();

const DEFAULT_TIMEOUT_MS = 60_000;

/** Administrators' programs are not in every user's PATH. */
export const TOOL_PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

/**
 * The environment of a user's shell: without what the test runner makes every node process load, and without a machine's
 * own certificates, which node parses at each start (40 ms) and nobody here asks for.
 */
export function cleanEnv(): NodeJS.ProcessEnv {
  const isLoaded = (name: string) =>
    /^(NODE_OPTIONS|NODE_V8_COVERAGE|NODE_EXTRA_CA_CERTS|TAP|_?TAPJS)/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isLoaded(name)));
}

/**
 * Another process of a test, without what the runner makes every one load: that would cost it, and each thread that it
 * starts, half a second.
 */
export function forkPlain(entry: string, options: ForkOptions = {}): ChildProcess {
  return fork(entry, [], { ...options, execArgv: [], env: cleanEnv() });
}

function collect(child: ChildProcess, name: 'stdout' | 'stderr'): Buffer[] {
  const chunks: Buffer[] = [];
  child[name]?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return chunks;
}

/**
 * Runs `command` until it exits and its output pipes are closed, so a daemon that keeps the caller's
 * stdout or stderr open counts as not having returned. Rejects where it does not start or takes too long.
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { input, cwd, user, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  const env = { ...cleanEnv(), PATH: TOOL_PATH, LC_ALL: 'C', ...options.env };
  const stdin = input ? 'pipe' : 'ignore';
  const start = process.hrtime.bigint();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: [stdin, 'pipe', 'pipe'], ...(cwd && { cwd }), ...user });
    const stdout = collect(child, 'stdout');
    const stderr = collect(child, 'stderr');
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout?.destroy();
      child.stderr?.destroy();
      const said = Buffer.concat(stderr).toString();
      reject(new Error(`${command} ${args.join(' ')}: not done after ${timeoutMs} ms: ${said}`));
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const elapsedMs = Number(process.hrtime.bigint() - start) / 1e6;
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString(),
        elapsedMs,
      });
    });
    // A program that exits without reading its input closes the pipe; its exit code says enough.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** `run`, and an exception with the program's own words where it fails. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await run(command, args, options);
  if (result.code !== 0) {
    const status = result.signal ?? result.code;
    throw new Error(`${command} ${args.join(' ')}: ${status}: ${result.stderr}${result.stdout}`);
  }
  return result;
}
