/**
 * Counts the assertions in a TAP stream, those of subtests too, line by line as they come.
 */
export interface TapCount {
  passed: number;
  failed: number;
  skipped: number;
}

const RESULT = /^( *)(not )?ok\b/;
const SKIPPED = /# skip\b/i;
const TODO = /# todo\b/i;

export class TapCounter {
  readonly count: TapCount = { passed: 0, failed: 0, skipped: 0 };
  readonly #onFailure: (line: string) => void;
  /** The depths of the results since the last one that summed them up: those are none of their own. */
  #depths: number[] = [];
  /** What ends the block of YAML behind a result, while we are in it. */
  #blockEnd: string | null = null;
  #isFailure = false;

  /** `onFailure` gets the line of each result that failed, and those of the block that says why. */
  constructor(onFailure: (line: string) => void) {
    this.#onFailure = onFailure;
  }

  take(line: string): void {
    if (this.#blockEnd === null && line.trim() === '---') this.#blockEnd = line.replace('---', '...');
    if (this.#blockEnd !== null) {
      if (this.#isFailure) this.#onFailure(line);
      if (line === this.#blockEnd) this.#blockEnd = null;
      return;
    }
    const result = RESULT.exec(line);
    if (result) this.#takeResult(line, result[1]!.length, result[2] === undefined || TODO.test(line));
  }

  #takeResult(line: string, depth: number, isPassed: boolean): void {
    const isSum = this.#depths.some((other) => other > depth);
    this.#depths = [...this.#depths.filter((other) => other < depth), depth];
    this.#isFailure = !isPassed;
    if (!isPassed) this.#onFailure(line);
    if (isSum) return;
    if (!isPassed) this.count.failed += 1;
    else if (SKIPPED.test(line)) this.count.skipped += 1;
    else this.count.passed += 1;
  }
}
