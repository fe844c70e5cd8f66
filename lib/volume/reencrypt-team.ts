/**
 * The threads that share the work on one hot zone: the calling one alone where the zone is small or the machine has one
 * core. Knows ranges and checksums; what is done to a range is the zone's.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Secret } from '../crypto/secret.js';
import type { Device } from '../device.js';
import { type ErrorCode, LuksError } from '../errors.js';
import type { Extent } from './reencrypt-parts.js';
import type { RangeOrder, RangeReply, ReencryptWorkerTask } from './reencrypt-worker.js';
import { Zone, type ZoneShape } from './reencrypt-zone.js';

export interface ZoneKeys {
  previous: Secret | null;
  final: Secret | null;
}

/** Below it a zone is done before threads have begun. */
const SHARED_ZONE_BYTES = 4 * 1024 * 1024;
/** What a thread takes at a time, so that all of them end at about the same time. Whole units. */
const SLICE_BYTES = 1024 * 1024;
const MAX_THREADS = 16;

function errorOf(reply: NonNullable<RangeReply>): Error {
  const { message, code, errno } = reply;
  if (errno === null) return new LuksError(code as ErrorCode, message);
  return Object.assign(new Error(message), { code, errno });
}

export class ZoneTeam {
  /** The calling thread's. */
  readonly zone: Zone;
  readonly #threads: number;
  readonly #task: ReencryptWorkerTask;
  #workers: Worker[] = [];
  /** Of each worker, noted before it can end; resolves with what ended it, null where it was told to. */
  #ends: Promise<Error | null>[] = [];

  /** @param threads the most that work on one range */
  constructor(
    device: Device,
    shape: ZoneShape,
    keys: ZoneKeys,
    threads = Math.min(availableParallelism(), MAX_THREADS),
  ) {
    this.#threads = threads;
    this.zone = new Zone(device, shape, {
      previous: keys.previous?.bytes ?? null,
      final: keys.final?.bytes ?? null,
    });
    this.#task = {
      device: device.handle,
      shape,
      previousKey: keys.previous?.handle ?? null,
      finalKey: keys.final?.handle ?? null,
    };
  }

  /** The checksums of the range's blocks. */
  async hash(range: Extent): Promise<Uint8Array> {
    const checksums = new Uint8Array(new SharedArrayBuffer(this.zone.checksumBytes(range.sizeBytes)));
    await this.#share(range, checksums);
    return checksums;
  }

  /** Rewrites the range in its new form. */
  convert(range: Extent): Promise<void> {
    return this.#share(range, null);
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) worker.postMessage(null);
    await Promise.all(this.#ends);
    this.zone.destroy();
  }

  async #share(range: Extent, checksums: Uint8Array | null): Promise<void> {
    const threads = this.#threads;
    if (range.sizeBytes < SHARED_ZONE_BYTES || threads === 1) {
      if (checksums) this.zone.hashRange(range, checksums);
      else this.zone.convertRange(range);
      return;
    }
    while (this.#workers.length < threads) this.#startWorker();
    const nextSlice = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const order = { range, sliceBytes: SLICE_BYTES, nextSlice, checksums };
    const orders = this.#workers.map((worker, index) => this.#send(worker, this.#ends[index]!, order));
    // Nobody may still write when the caller learns of a failure.
    const results = await Promise.allSettled(orders);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  #startWorker(): void {
    const worker = new Worker(new URL('./reencrypt-worker.js', import.meta.url), { workerData: this.#task });
    this.#workers.push(worker);
    this.#ends.push(
      new Promise((resolve) => {
        let failure: Error | null = null;
        worker.once('error', (error: Error) => {
          failure = error;
        });
        worker.once('exit', () => resolve(failure));
      }),
    );
  }

  /** Of a worker that has ended, or ends meanwhile, no answer comes. */
  async #send(worker: Worker, end: Promise<Error | null>, order: RangeOrder): Promise<void> {
    let settle!: (reply: RangeReply) => void;
    const answer = new Promise<RangeReply>((resolve) => {
      settle = resolve;
    });
    worker.once('message', settle);
    worker.postMessage(order);
    const ended = end.then((failure) => {
      throw failure ?? new Error('a thread of the reencryption has ended');
    });
    const reply = await Promise.race([answer, ended]);
    if (reply) throw errorOf(reply);
  }
}
