/**
 * The worker threads of one mount. A pool that may grow does so while all its workers sleep in the payload's
 * I/O, since then nobody is left to take requests; what was added leaves again when it is not needed.
 * Knows how to run workers, not what they serve.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import createDebug from 'debug';
import { PoolGauge } from './pool-gauge.js';
import type { WorkerTask } from './worker.js';

const debug = createDebug('luksfuse:mount');

/** A worker's heap holds code and a few small objects; the payload's bytes are outside of it. */
const WORKER_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };
/** So many looks at the pool, so far apart, have to find it asleep: a fast payload is caught napping now and then. */
const SAMPLE_COUNT = 4;
const SAMPLE_MS = 1;
/** Between one look at a pool that computes and the next. */
const PAUSE_MS = 20;
/** How long requests that are being served may hold up the end of the service. */
const DRAIN_MS = 10_000;

/** What every worker gets, whatever its index. */
export type CommonTask = Omit<WorkerTask, 'workerIndex' | 'gaugeMemory' | 'isExtra'>;

export interface PoolSize {
  /** As many are started and stay. */
  minimum: number;
  /** As many there may be; `minimum` for a pool that does not grow. */
  maximum: number;
}

export class WorkerPool {
  readonly #task: CommonTask;
  readonly #size: PoolSize;
  readonly #gauge: PoolGauge;
  readonly #workers = new Map<number, Worker>();
  readonly #onFailure: (error: Error) => void;
  readonly #onEmpty: () => void;
  #isClosing = false;
  #hasUnlockedKeys = false;

  /**
   * @param onFailure a worker that served has ended unexpectedly
   * @param onEmpty the last worker has ended, by failure or because the mount is gone
   */
  constructor(task: CommonTask, size: PoolSize, onFailure: (error: Error) => void, onEmpty: () => void) {
    this.#task = task;
    this.#size = size;
    this.#gauge = new PoolGauge(PoolGauge.createMemory(size.maximum));
    this.#gauge.setReporting(size.maximum > size.minimum);
    this.#onFailure = onFailure;
    this.#onEmpty = onEmpty;
  }

  get workerCount(): number {
    return this.#workers.size;
  }

  /** A worker has keys in memory that it could not lock. */
  get hasUnlockedKeys(): boolean {
    return this.#hasUnlockedKeys;
  }

  /** Workers that serve a request at this moment. */
  get busyCount(): number {
    return Math.max(0, this.#workers.size - this.#gauge.idleCount);
  }

  /** Resolves when all of the minimum are ready to read their first request, which they do once the pool is open. */
  async start(): Promise<void> {
    const indices = Array.from({ length: this.#size.minimum }, (_, index) => index);
    await Promise.all(indices.map((index) => this.#startWorker(index)));
  }

  open(): void {
    this.#gauge.openGate();
  }

  /**
   * Takes no more requests, and resolves when those that were taken are answered and all workers gone, or after `DRAIN_MS`.
   * One that is killed while it takes a request fails that with EIO (fuse_dev_do_read), so none may be left in read(2).
   * @param poke makes a request, for the next worker to leave by
   */
  async drain(poke: () => Promise<unknown>): Promise<void> {
    this.#isClosing = true;
    this.#gauge.shutGate();
    let isPoked = false;
    const settle = () => {
      isPoked = false;
    };
    for (const end = Date.now() + DRAIN_MS; this.#workers.size > 0 && Date.now() < end; ) {
      // Not awaited: the last one waits for the next server.
      if (!isPoked) poke().then(settle, settle);
      isPoked = true;
      await delay(SAMPLE_MS);
    }
  }

  #startWorker(workerIndex: number): Promise<void> {
    const isExtra = workerIndex >= this.#size.minimum;
    const task: WorkerTask = { ...this.#task, workerIndex, isExtra, gaugeMemory: this.#gauge.memory };
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: task,
      resourceLimits: WORKER_LIMITS,
    });
    this.#workers.set(workerIndex, worker);
    return new Promise((resolve, reject) => {
      let isServing = false;
      let failure: Error | null = null;
      worker.on('message', (message) => {
        isServing = true;
        if (message === 'unlocked') this.#hasUnlockedKeys = true;
        else if (message === 'ready') resolve();
        else void this.#considerGrowth();
      });
      worker.once('error', (error: Error) => {
        failure = error;
      });
      worker.once('exit', (code) => {
        if (code !== 0) failure ??= new Error(`worker ${workerIndex} ended with status ${code}`);
        this.#workers.delete(workerIndex);
        if (!isExtra) this.#isClosing = true;
        // An extra worker that does not even start harms nobody: the others serve on.
        if (failure && (isServing || !isExtra)) this.#onFailure(failure);
        // Means something before it was ready alone: none may be waited for that is gone.
        reject(failure ?? new Error(`worker ${workerIndex} ended before it was ready`));
        if (this.#workers.size === 0) this.#onEmpty();
      });
    });
  }

  /** No worker was idle: adds half as many again if they sleep and keep sleeping. */
  async #considerGrowth(): Promise<void> {
    const before = this.#workers.size;
    if (await this.#isAsleep()) await this.#grow(Math.ceil(before / 2));
    if (this.#workers.size <= before) await delay(PAUSE_MS);
    this.#gauge.setReporting(!this.#isClosing);
  }

  async #isAsleep(): Promise<boolean> {
    for (let sample = 0; sample < SAMPLE_COUNT; sample++) {
      await delay(SAMPLE_MS);
      const sleeping = this.#gauge.countSleeping(this.#workers.keys());
      if (this.#isClosing || !this.#gauge.isSaturated || sleeping <= this.#workers.size / 2) return false;
    }
    return true;
  }

  async #grow(count: number): Promise<void> {
    const free: number[] = [];
    for (let index = this.#size.minimum; index < this.#size.maximum && free.length < count; index++) {
      if (!this.#workers.has(index)) free.push(index);
    }
    if (free.length === 0) return;
    debug('all %d workers wait for the payload: starting %d more', this.#workers.size, free.length);
    const results = await Promise.allSettled(free.map((index) => this.#startWorker(index)));
    for (const result of results) {
      if (result.status === 'rejected') debug('a worker more did not start: %s', result.reason);
    }
  }
}
