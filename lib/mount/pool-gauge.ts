/**
 * How busy a pool of workers is, in memory that they share with the main thread: a few atomic words, so that
 * telling costs a request next to nothing.
 */
import fs from 'node:fs';

/** Workers that wait for a request. */
const IDLE = 0;
/** 1 once somebody was told that none is left; who is told sets it back. */
const IS_REPORTED = 1;
/** Whether workers take requests. */
const GATE = 2;
/** How often the last idle worker got a request. Not atomic: that it has changed is all that is asked. */
const SATURATIONS = 3;
/** Of each worker, its kernel thread. */
const FIRST_THREAD = 4;

/** Values of GATE. Workers wait before it is open, and leave after their request when it is shut again. */
const NOT_YET = 0;
const OPEN = 1;
const SHUT = 2;

export class PoolGauge {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  /** What was found when slack was last asked for, and since when there was nothing new, in ms of the epoch. */
  #saturations = -1;
  #slackSinceMs = 0;

  static createMemory(workerCount: number): SharedArrayBuffer {
    return new SharedArrayBuffer(4 * (FIRST_THREAD + workerCount));
  }

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** Worker `index` runs on the calling thread. */
  enter(index: number): void {
    // Reads "PID/task/TID" (proc_pid(5)); node has no gettid.
    this.#words[FIRST_THREAD + index] = Number(fs.readlinkSync('/proc/thread-self').split('/')[2]);
  }

  /** Lets the workers take requests. */
  openGate(): void {
    Atomics.store(this.#words, GATE, OPEN);
    Atomics.notify(this.#words, GATE);
  }

  /** Lets none take another request, but one that comes to a worker which waits for it already. */
  shutGate(): void {
    Atomics.store(this.#words, GATE, SHUT);
  }

  waitForGate(): void {
    Atomics.wait(this.#words, GATE, NOT_YET);
  }

  get isShut(): boolean {
    return this.#words[GATE] === SHUT;
  }

  /** A worker goes to wait for a request. */
  beginWait(): void {
    Atomics.add(this.#words, IDLE, 1);
  }

  /** It got one. True where it was the last idle one and the main thread has to be told so. */
  endWait(): boolean {
    if (Atomics.sub(this.#words, IDLE, 1) > 1) return false;
    this.#words[SATURATIONS]! += 1;
    if (Atomics.load(this.#words, IS_REPORTED) === 1) return false;
    return Atomics.exchange(this.#words, IS_REPORTED, 1) === 0;
  }

  /** The main thread wants to hear of the next time, or (`false`) of none. */
  setReporting(isWanted: boolean): void {
    Atomics.store(this.#words, IS_REPORTED, isWanted ? 0 : 1);
  }

  get idleCount(): number {
    return Atomics.load(this.#words, IDLE);
  }

  get isSaturated(): boolean {
    return this.idleCount === 0;
  }

  /** How long there has always been an idle worker, as far as whoever asks has looked: it costs others no clock. */
  get slackMs(): number {
    const nowMs = Date.now();
    const saturations = this.#words[SATURATIONS]!;
    if (saturations !== this.#saturations) {
      this.#saturations = saturations;
      this.#slackSinceMs = nowMs;
    }
    return nowMs - this.#slackSinceMs;
  }

  /**
   * How many of these workers sleep in the kernel at this moment. Where none is idle, those sleep in the
   * payload's I/O; the others compute, or wait for a processor, and more of them would not help.
   */
  countSleeping(indices: Iterable<number>): number {
    return [...indices].filter((index) => this.#isSleeping(index)).length;
  }

  #isSleeping(index: number): boolean {
    let stat: string;
    try {
      stat = fs.readFileSync(`/proc/self/task/${this.#words[FIRST_THREAD + index]}/stat`, 'latin1');
    } catch {
      return false; // the worker has just left
    }
    // proc_pid_stat(5): the state follows the command's closing parenthesis.
    const state = stat[stat.lastIndexOf(')') + 2];
    return state === 'S' || state === 'D';
  }
}
