/**
 * One thread of a reencryption: hashes or converts the ranges that it is sent. Knows no header.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Secret, type SecretHandle } from '../crypto/secret.js';
import { Device, type DeviceHandle } from '../device.js';
import { isSystemError, LuksError } from '../errors.js';
import type { Extent } from './reencrypt-parts.js';
import { Zone, type ZoneShape } from './reencrypt-zone.js';

/** workerData */
export interface ReencryptWorkerTask {
  device: DeviceHandle;
  shape: ZoneShape;
  previousKey: SecretHandle | null;
  finalKey: SecretHandle | null;
}

/** A range that all threads work on, slice by slice. */
export interface RangeOrder {
  range: Extent;
  sliceBytes: number;
  /** The first slice that nobody has taken yet, in memory that all share. */
  nextSlice: Int32Array;
  /** Where the checksums of the range are to be put; null where it is to be converted. */
  checksums: Uint8Array | null;
}

/** What keeps the others from taking another slice. */
const NO_SLICE = 2 ** 30;

/** What came of it: nothing, or an error with its code and errno, which cloning would lose. */
export type RangeReply = { message: string; code: string; errno: number | null } | null;

function work(zone: Zone, { range, sliceBytes, nextSlice, checksums }: RangeOrder): void {
  for (;;) {
    const startBytes = Atomics.add(nextSlice, 0, 1) * sliceBytes;
    if (startBytes >= range.sizeBytes) return;
    const slice = {
      offsetBytes: range.offsetBytes + startBytes,
      sizeBytes: Math.min(sliceBytes, range.sizeBytes - startBytes),
    };
    if (checksums) zone.hashRange(slice, checksums.subarray(zone.checksumBytes(startBytes)));
    else zone.convertRange(slice);
  }
}

function attempt(zone: Zone, order: RangeOrder): RangeReply {
  try {
    work(zone, order);
    return null;
  } catch (error) {
    Atomics.store(order.nextSlice, 0, NO_SLICE);
    if (isSystemError(error)) return { message: error.message, code: error.code, errno: error.errno! };
    if (error instanceof LuksError) return { message: error.message, code: error.code, errno: null };
    throw error;
  }
}

function run(task: ReencryptWorkerTask): void {
  const borrow = (handle: SecretHandle | null) => handle && Secret.borrow(handle);
  const keys = { previous: borrow(task.previousKey), final: borrow(task.finalKey) };
  const zone = new Zone(Device.adopt(task.device), task.shape, keys);
  parentPort!.on('message', (order: RangeOrder | null) => {
    if (order) {
      parentPort!.postMessage(attempt(zone, order));
      return;
    }
    zone.destroy();
    parentPort!.close();
  });
}

run(workerData as ReencryptWorkerTask);
