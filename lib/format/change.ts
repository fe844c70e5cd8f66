/**
 * Every change of a header: read under the lock, planned as a row of writes, then written one by one, each
 * on stable storage before the next begins. The order of a plan is what makes it safe against a cut.
 * Keys are derived before, from a header read without the lock: others wait five seconds for it, and argon2 takes longer.
 */
import { randomFillSync } from 'node:crypto';
import createDebug from 'debug';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { readHeader } from './header.js';
import { withHeaderLock } from './lock.js';
import type { AreaPlace, LuksHeader } from './model.js';

const debug = createDebug('luksfuse:format');

export interface WriteStep {
  /** For the trace. */
  what: string;
  offsetBytes: number;
  bytes: Buffer;
}

/** Buffers of overwritten areas stay below this. */
const WIPE_CHUNK_BYTES = 1024 * 1024;

/** Steps that overwrite a place with random bytes, or with zeros. */
export function planWipe(what: string, place: AreaPlace, fill: 'random' | 'zero' = 'random'): WriteStep[] {
  const steps: WriteStep[] = [];
  for (let done = 0; done < place.sizeBytes; done += WIPE_CHUNK_BYTES) {
    const bytes = Buffer.alloc(Math.min(WIPE_CHUNK_BYTES, place.sizeBytes - done));
    if (fill === 'random') randomFillSync(bytes);
    steps.push({ what: `wipe ${what}`, offsetBytes: place.offsetBytes + done, bytes });
  }
  return steps;
}

/** Steps that overwrite what these keyslots have in the header's keyslots area. */
export function planKeyslotWipes(header: LuksHeader, keyslots: readonly number[]): WriteStep[] {
  return keyslots.flatMap((id) => {
    const { area } = header.keyslots.get(id)!;
    return area ? planWipe(`area of keyslot ${id}`, area) : [];
  });
}

export function applySteps(device: Device, steps: readonly WriteStep[]): void {
  for (const { what, offsetBytes, bytes } of steps) {
    debug('write %s: %d bytes at %d', what, bytes.length, offsetBytes);
    device.writeAt(bytes, offsetBytes);
    device.sync();
  }
}

/** Of what was prepared without the lock on a header that is not there any more. */
export function changedMeanwhile(device: Device): LuksError {
  return new LuksError(
    'BUSY',
    `the header of ${device.path} was changed by another program meanwhile; try again`,
  );
}

/** Throws BUSY unless `now`, read under the lock, is the header that was read `before`. */
export function requireUnchanged(device: Device, before: LuksHeader, now: LuksHeader): void {
  const seqid = ({ disk }: LuksHeader) => (disk.version === 2 ? disk.seqid : 0n);
  const isSame =
    now.uuid === before.uuid &&
    seqid(now) === seqid(before) &&
    JSON.stringify(now.document) === JSON.stringify(before.document);
  if (!isSame) throw changedMeanwhile(device);
}

/**
 * Changes the header of `device` by what `plan` makes of it. Nothing is written where `plan` throws.
 * Throws BUSY where another program holds the lock.
 */
export function changeHeader<T>(
  device: Device,
  plan: (header: LuksHeader) => { steps: WriteStep[]; result: T },
): Promise<T> {
  return withHeaderLock(device, async () => {
    const { steps, result } = plan(readHeader(device));
    applySteps(device, steps);
    return result;
  });
}
