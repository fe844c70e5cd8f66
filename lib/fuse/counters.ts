/**
 * What the workers have done, in memory that the main thread reads at any time. Each worker writes a row of
 * its own, so that no addition needs to be atomic.
 */
import { type MemoryHandle, viewMemory } from '../native/shared-memory.js';

export interface CounterTotals {
  /** Of every kind. */
  requests: number;
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  errors: number;
}

const REQUESTS = 0;
const READS = 1;
const READ_BYTES = 2;
const WRITES = 3;
const WRITTEN_BYTES = 4;
const ERRORS = 5;
/** A cache line of its own for each worker. */
const ROW_FIELDS = 8;

export class Counters {
  readonly #row: Float64Array;

  static memoryBytes(workerCount: number): number {
    return workerCount * ROW_FIELDS * Float64Array.BYTES_PER_ELEMENT;
  }

  static createMemory(workerCount: number): SharedArrayBuffer {
    return new SharedArrayBuffer(Counters.memoryBytes(workerCount));
  }

  constructor(memory: MemoryHandle, workerIndex: number) {
    this.#row = new Float64Array(viewMemory(memory), Counters.memoryBytes(workerIndex), ROW_FIELDS);
  }

  /** The sum over all workers, each figure as of about now. */
  static totals(memory: MemoryHandle): CounterTotals {
    const fields = new Float64Array(viewMemory(memory));
    const sum = (field: number): number => {
      let total = 0;
      for (let at = field; at < fields.length; at += ROW_FIELDS) total += fields[at]!;
      return total;
    };
    return {
      requests: sum(REQUESTS),
      reads: sum(READS),
      readBytes: sum(READ_BYTES),
      writes: sum(WRITES),
      writtenBytes: sum(WRITTEN_BYTES),
      errors: sum(ERRORS),
    };
  }

  addRequest(): void {
    this.#row[REQUESTS]! += 1;
  }

  addRead(bytes: number): void {
    this.#row[READS]! += 1;
    this.#row[READ_BYTES]! += bytes;
  }

  addWrite(bytes: number): void {
    this.#row[WRITES]! += 1;
    this.#row[WRITTEN_BYTES]! += bytes;
  }

  get errors(): number {
    return this.#row[ERRORS]!;
  }

  addError(): void {
    this.#row[ERRORS]! += 1;
  }
}
