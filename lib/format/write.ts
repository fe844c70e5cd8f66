/**
 * The writes that replace a header's metadata, in an order that leaves a header which opens as before or as
 * wanted, wherever they are cut (LUKS2 spec, section 2.4; for LUKS1, which has one copy, see `planLuks1Keyslots`).
 */
import { randomBytes } from 'node:crypto';
import { requireHash } from '../crypto/hash.js';
import { LuksError } from '../errors.js';
import type { WriteStep } from './change.js';
import {
  encodeKeyslotState,
  encodeLuks1,
  KEYSLOT_STATE_BYTES,
  keyslotFieldsAt,
  LUKS1_KEYSLOTS,
} from './luks1.js';
import { BINARY_HEADER_BYTES, type CopyName, encodeCopy } from './luks2-binary.js';
import type { Luks2Disk, LuksHeader } from './model.js';

const LUKS2_SALT_BYTES = 64;

/** The write of one copy of `header`, with this seqid and a salt of its own. */
export function planCopy(header: LuksHeader, disk: Luks2Disk, name: CopyName, seqid: bigint): WriteStep {
  const text = JSON.stringify(header.document);
  const areaBytes = disk.hdrSizeBytes - BINARY_HEADER_BYTES;
  if (Buffer.byteLength(text) >= areaBytes) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `the metadata needs ${Buffer.byteLength(text) + 1} bytes and its area has ${areaBytes}; remove tokens`,
    );
  }
  const { uuid, label, subsystem } = header;
  const { hdrSizeBytes, checksumAlgorithm } = disk;
  const salt = randomBytes(LUKS2_SALT_BYTES);
  const binary = { hdrSizeBytes, seqid, label, checksumAlgorithm, salt, uuid, subsystem };
  return {
    what: `${name} copy`,
    offsetBytes: name === 'primary' ? 0 : hdrSizeBytes,
    bytes: encodeCopy(binary, text, name, requireHash(checksumAlgorithm)),
  };
}

/**
 * Both copies, one after the other: a cut leaves at least one whole. A copy that is no good goes first, for
 * the other is all there is. One that is not even there may have been overwritten on purpose.
 */
function planLuks2(header: LuksHeader, disk: Luks2Disk): WriteStep[] {
  for (const name of ['primary', 'secondary'] as const) {
    if (disk[name].state !== 'absent') continue;
    throw new LuksError(
      'HEADER_CORRUPT',
      `the ${name} copy of the header is gone, and something else may be in its place; ` +
        'make sure that nothing is, and run repair first',
    );
  }
  const order: CopyName[] =
    disk.secondary.state === 'valid' ? ['primary', 'secondary'] : ['secondary', 'primary'];
  return order.map((name) => planCopy(header, disk, name, disk.seqid + 1n));
}

/**
 * The writes of the keyslots that differ. One that becomes active gets its state last, one that ceases to be loses it
 * first, and one that changes both, so that what a cut leaves of its other fields does not count; and what a cut
 * leaves of the state's four bytes reads as inactive. Null where more than keyslots differs.
 */
export function planLuks1Keyslots(from: LuksHeader, to: LuksHeader): WriteStep[] | null {
  const [before, after] = [encodeLuks1(from), encodeLuks1(to)];
  const firstKeyslot = keyslotFieldsAt(0);
  if (!before.subarray(0, firstKeyslot).equals(after.subarray(0, firstKeyslot))) return null;
  return Array.from({ length: LUKS1_KEYSLOTS }, (_, index) => {
    const [start, end] = [keyslotFieldsAt(index), keyslotFieldsAt(index + 1)];
    if (before.subarray(start, end).equals(after.subarray(start, end))) return [];
    const fieldsStart = start + KEYSLOT_STATE_BYTES;
    const state = (isActive: boolean): WriteStep => ({
      what: `state of keyslot ${index}`,
      offsetBytes: start,
      bytes: encodeKeyslotState(isActive),
    });
    const fields = {
      what: `fields of keyslot ${index}`,
      offsetBytes: fieldsStart,
      bytes: after.subarray(fieldsStart, end),
    };
    const gone = from.keyslots.has(index) ? [state(false)] : [];
    const come = to.keyslots.has(index) ? [state(true)] : [];
    return [...gone, fields, ...come];
  }).flat();
}

function planLuks1(from: LuksHeader, to: LuksHeader): WriteStep[] {
  const steps = planLuks1Keyslots(from, to);
  if (steps) return steps;
  throw new LuksError('BAD_ARGUMENT', 'a LUKS1 header has no place for this; convert it to LUKS2 first');
}

/** The writes that make the metadata `from`, as it was read, into `to`. */
export function planMetadata(from: LuksHeader, to: LuksHeader): WriteStep[] {
  return to.disk.version === 2 ? planLuks2(to, to.disk) : planLuks1(from, to);
}
