/**
 * The threads that share the work on one hot zone: the calling one alone where the zone is small or the machine has one
 * core. Knows ranges and checksums; what is done to a range is the zone's.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { alignUp } from '../bytes.js';
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
  readonly #unitBytes: number;
  readonly #task: ReencryptWorkerTask;
  #workers: Worker[] = [];

  /** @param unitBytes no range is cut within such a unit; one checksum each where there are checksums */
  constructor(
    device: Device,
    shape: ZoneShape,
    keys: ZoneKeys,
    unitBytes: number,
    threads = Math.min(availableParallelism(), MAX_THREADS),
  ) {
    this.#threads = threads;
    this.#unitBytes = unitBytes;
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

  /** The checksums of the range's blocks, which are units. */
  async hash(range: Extent, checksumBytes: number): Promise<Uint8Array> {
    const sizeBytes = (range.sizeBytes / this.#unitBytes) * checksumBytes;
    const checksums = new Uint8Array(new SharedArrayBuffer(sizeBytes));
    await this.#share(range, ({ offsetBytes, sizeBytes: count }) => {
      const at = ((offsetBytes - range.offsetBytes) / this.#unitBytes) * checksumBytes;
      return checksums.subarray(at, at + (count / this.#unitBytes) * checksumBytes);
    });
    return checksums;
  }

  /** Rewrites the range in its new form. */
  convert(range: Extent): Promise<void> {
    return this.#share(range, () => null);
  }

  async close(): Promise<void> {
    const gone = this.#workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
    for (const worker of this.#workers) worker.postMessage(null);
    await Promise.all(gone);
    this.zone.destroy();
  }

  async #share(range: Extent, checksumsOf: (slice: Extent) => Uint8Array | null): Promise<void> {
    const threads = this.#threads;
    if (range.sizeBytes < SHARED_ZONE_BYTES || threads === 1) {
      const checksums = checksumsOf(range);
      if (checksums) this.zone.hashRange(range, checksums);
      else this.zone.convertRange(range);
      return;
    }
    while (this.#workers.length < threads) this.#workers.push(this.#startWorker());
    const sliceBytes = alignUp(Math.ceil(range.sizeBytes / threads), this.#unitBytes);
    const orders = this.#workers.flatMap((worker, index) => {
      const offsetBytes = range.offsetBytes + index * sliceBytes;
      const sizeBytes = Math.min(sliceBytes, range.sizeBytes - index * sliceBytes);
      if (sizeBytes <= 0) return [];
      const slice = { offsetBytes, sizeBytes };
      return [this.#send(worker, { range: slice, checksums: checksumsOf(slice) })];
    });
    // Nobody may still write when the caller learns of a failure.
    const results = await Promise.allSettled(orders);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  #startWorker(): Worker {
    return new Worker(new URL('./reencrypt-worker.js', import.meta.url), { workerData: this.#task });
  }

  #send(worker: Worker, order: RangeOrder): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (reply: RangeReply) => {
        worker.off('error', reject);
        if (reply) reject(errorOf(reply));
        else resolve();
      };
      worker.once('message', settle);
      worker.once('error', reject);
      worker.postMessage(order);
    });
  }
}
