/**
 * Puts right what can be put right without any key: a LUKS2 copy from the other one, and the fields of LUKS1
 * keyslots that can have only one value.
 */

import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { applySteps, type WriteStep } from './change.js';
import { readHeader } from './header.js';
import { withHeaderLock } from './lock.js';
import { decodeLuks1, encodeLuks1, LUKS1_HEADER_BYTES, mendLuks1InPlace } from './luks1.js';
import { formatVersion, hasMagic } from './luks2-binary.js';
import { findSuccessor } from './replaced.js';
import { planCopy } from './write.js';

interface Repairs {
  steps: WriteStep[];
  /** What is put right, for people. */
  repairs: string[];
}

function requireNothingElse(device: Device, offsetBytes: number): void {
  const found = findSuccessor(device, offsetBytes);
  if (!found) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `at byte ${offsetBytes} of ${device.path}, where a copy of the header was, there is ${found}; ` +
      'give --force only if that may be destroyed',
  );
}

function planLuks2(device: Device, force: boolean): Repairs {
  const header = readHeader(device);
  const { disk } = header;
  const result: Repairs = { steps: [], repairs: [] };
  if (disk.version !== 2) return result;
  for (const name of ['primary', 'secondary'] as const) {
    const { state, reason, offsetBytes } = disk[name];
    if (state === 'valid') continue;
    if (state === 'absent' && !force) requireNothingElse(device, offsetBytes);
    result.steps.push(planCopy(header, disk, name, disk.seqid));
    result.repairs.push(`${name} copy, which was ${state}${reason === null ? '' : ` (${reason})`}`);
  }
  return result;
}

function planLuks1(bytes: Buffer): Repairs {
  const repairs = mendLuks1InPlace(bytes);
  const mended = encodeLuks1(decodeLuks1(bytes));
  return { steps: repairs.length ? [{ what: 'header', offsetBytes: 0, bytes: mended }] : [], repairs };
}

/**
 * Repairs the header of `device` and resolves to what was put right, nothing where all was well.
 * Throws HEADER_CORRUPT where it is beyond repair, BAD_ARGUMENT where something else is in a copy's place
 * (`force` overwrites it).
 */
export function repairHeader(device: Device, options: { force?: boolean } = {}): Promise<string[]> {
  return withHeaderLock(device, async () => {
    const bytes = Buffer.alloc(LUKS1_HEADER_BYTES);
    device.readAt(bytes, 0);
    const isLuks1 = hasMagic(bytes, 'primary') && formatVersion(bytes) === 1;
    const { steps, repairs } = isLuks1 ? planLuks1(bytes) : planLuks2(device, options.force ?? false);
    applySteps(device, steps);
    return repairs;
  });
}
