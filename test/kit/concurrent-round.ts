/**
 * What may come of reads and writes that ran at once: a byte is what one of the writes over it made it, and
 * a read that ran beside them saw that or what was there before. Nothing else, and nobody else's bytes.
 */

export interface Extent {
  offset: number;
  length: number;
}

export interface RoundResult {
  offset: number;
  /** What was written, or what was read. */
  data: Buffer;
  isWrite: boolean;
}

function isAllowed(writes: readonly RoundResult[], at: number, value: number): boolean {
  return writes.some(
    ({ offset, data }) => at >= offset && at < offset + data.length && data[at - offset] === value,
  );
}

function isWritten(writes: readonly RoundResult[], at: number): boolean {
  return writes.some(({ offset, data }) => at >= offset && at < offset + data.length);
}

/**
 * Checks the results of one round and `after`, the file's bytes from `start` on once all had returned;
 * takes over into `model` which of the writers won. Throws at the first byte that cannot be.
 */
export function checkRound(
  model: Buffer,
  results: readonly RoundResult[],
  after: Buffer,
  start: number,
): void {
  const writes = results.filter(({ isWrite }) => isWrite);
  for (const { offset, data } of results.filter(({ isWrite }) => !isWrite)) {
    for (let i = 0; i < data.length; i += 1) {
      if (data[i] === model[offset + i] || isAllowed(writes, offset + i, data[i]!)) continue;
      throw new Error(`a read beside writes saw ${data[i]} in byte ${offset + i}, which nobody wrote`);
    }
  }
  for (let i = 0; i < after.length; i += 1) {
    const at = start + i;
    if (isWritten(writes, at) ? isAllowed(writes, at, after[i]!) : after[i] === model[at]) continue;
    throw new Error(`after concurrent writes byte ${at} is ${after[i]}, which is none of theirs`);
  }
  after.copy(model, start);
}
