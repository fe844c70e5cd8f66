/**
 * The program on a machine that koffi has no build for, so that it cannot call C.
 */
import { luksfuse, mustLuksfuse, type ProgramOptions } from './luksfuse.js';
import type { RunResult } from './run.js';

/** What has koffi hidden from a process and from all that it starts. */
const hook = new URL('./hide-koffi.js', import.meta.url).href;

export function luksfuseWithout(args: readonly string[], options: ProgramOptions = {}): Promise<RunResult> {
  return luksfuse(args, { hook, ...options });
}

export function mustLuksfuseWithout(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<RunResult> {
  return mustLuksfuse(args, { hook, ...options });
}
