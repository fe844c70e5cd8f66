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

/** One range to work on; with `checksums` they are to be made. */
export interface RangeOrder {
  range: Extent;
  checksums: Uint8Array | null;
}

/** What came of it: nothing, or an error with its code and errno, which cloning would lose. */
export type RangeReply = { message: string; code: string; errno: number | null } | null;

function attempt(zone: Zone, { range, checksums }: RangeOrder): RangeReply {
  try {
    if (checksums) zone.hashRange(range, checksums);
    else zone.convertRange(range);
    return null;
  } catch (error) {
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
