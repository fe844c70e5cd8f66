/**
 * The program on a machine that koffi has no build for, so that it cannot call C.
 */
import { luksfuse, mustLuksfuse } from './luksfuse.js';
import type { RunOptions, RunResult } from './run.js';

/** What has koffi hidden from a process and from all that it starts. */
export const HIDING_KOFFI = { NODE_OPTIONS: `--import=${new URL('./hide-koffi.js', import.meta.url).href}` };

function hiding(options: RunOptions): RunOptions {
  return { ...options, env: { ...HIDING_KOFFI, ...options.env } };
}

export function luksfuseWithout(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return luksfuse(args, hiding(options));
}

export function mustLuksfuseWithout(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return mustLuksfuse(args, hiding(options));
}
