/**
 * Throws mutated input at a piece of code for a set time: FUZZ_SECONDS for each piece, or a moment. Whatever
 * happens must be a result or a LuksError, within seconds and within bounds of memory. The seed is printed; FUZZ_SEED
 * repeats it.
 */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import type { Test } from 'tap';
import { LuksError } from '../../lib/errors.js';

const DEFAULT_SECONDS = 0.75;
const MAX_CASE_MS = 5000;
/** The largest keyslots area, 128 MiB, and what lies before it. */
const MAX_ALLOCATION_BYTES = 140 * 1024 * 1024;

/** Calls `work` and returns the largest Buffer that it asked for. */
async function largestAllocation(work: () => unknown): Promise<number> {
  const { alloc, allocUnsafe } = Buffer;
  let largest = 0;
  const watch =
    <A extends [number, ...unknown[]]>(allocate: (...args: A) => Buffer) =>
    (...args: A) => {
      largest = Math.max(largest, args[0]);
      if (args[0] > MAX_ALLOCATION_BYTES) throw new Error(`${args[0]} bytes were asked for`);
      return allocate(...args);
    };
  Object.assign(Buffer, { alloc: watch(alloc as never), allocUnsafe: watch(allocUnsafe as never) });
  try {
    await work();
  } finally {
    Object.assign(Buffer, { alloc, allocUnsafe });
  }
  return largest;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message).slice(0, 1500) : String(error);
}

export interface Outcomes {
  cases: number;
  /** How many of them ended with a LuksError. */
  refused: number;
}

/** Runs one case; throws what is wrong with how it ends. */
async function runCase(work: () => unknown, outcomes: Outcomes): Promise<void> {
  const start = process.cpuUsage();
  outcomes.cases += 1;
  try {
    await largestAllocation(work);
  } catch (error) {
    if (!(error instanceof LuksError)) throw error;
    outcomes.refused += 1;
  }
  // The processor's time and not the clock's: others may use the machine as well.
  const { user, system } = process.cpuUsage(start);
  const elapsedMs = (user + system) / 1000;
  if (elapsedMs > MAX_CASE_MS) throw new Error(`it took ${Math.round(elapsedMs)} ms`);
}

/** Gives `work` one value of `values` after the other until the time is up; fails `t` with the smallest that breaks it. */
export async function fuzz<T>(
  t: Test,
  values: fc.Arbitrary<T>,
  work: (value: T) => unknown,
): Promise<Outcomes> {
  const seconds = Number(process.env.FUZZ_SECONDS ?? DEFAULT_SECONDS);
  const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31));
  const outcomes: Outcomes = { cases: 0, refused: 0 };
  const property = fc.asyncProperty(values, (value) => runCase(() => work(value), outcomes));
  const run = await fc.check(property, {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    markInterruptAsFailure: false,
  });
  const what = `${outcomes.cases} cases, ${outcomes.refused} refused; FUZZ_SEED=${seed} repeats them`;
  if (run.failed)
    t.fail(`${what}: ${describe(run.errorInstance)}; ${fc.stringify(run.counterexample).slice(0, 300)}`);
  else t.pass(what);
  return outcomes;
}

/** Bytes changed at some places: flipped, set to what is often special, moved, cut off, repeated. */
export function mutated(original: Buffer, places: fc.Arbitrary<number>): fc.Arbitrary<Buffer> {
  const special = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff);
  const edit = fc.record({
    at: places,
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      fc
        .tuple(special, fc.integer({ min: 1, max: 16 }))
        .map(([byte, count]) => new Uint8Array(count).fill(byte)),
    ),
  });
  return fc.array(edit, { minLength: 1, maxLength: 6 }).map((edits) => {
    const changed = Buffer.from(original);
    for (const { at, bytes } of edits) {
      if (at + bytes.length <= changed.length) changed.set(bytes, at);
    }
    return changed;
  });
}
