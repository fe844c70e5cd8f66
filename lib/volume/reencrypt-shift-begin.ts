/**
 * Begins an encryption that makes room for its header: the head of the plain data is copied to the end of the device,
 * which is given up, and the header is written over it. For a cut while the header is being written, it is put in the
 * room that is given up first, whole: from there it can be put in its place again.
 */
import { formatBytes } from '../bytes.js';
import { Device, MemoryDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { AREA_ALIGN_BYTES, requireLargestArea } from '../format/areas.js';
import { applySteps, type WriteStep } from '../format/change.js';
import { requireFreeId } from '../format/edit.js';
import { findReadableHeader } from '../format/header.js';
import { withHeaderLock } from '../format/lock.js';
import type { LuksHeader, Segment } from '../format/model.js';
import {
  findShiftedEncryption,
  hasShiftedParts,
  type ShiftedEncryption,
  withShiftedEncryption,
} from '../format/reencryption-shift.js';
import { lockImage } from '../image-lock.js';
import { withVerifiedReencryption } from '../keyslot/reencrypt-digest.js';
import { copyWithin } from './copy-within.js';
import { type FormatOptions, formatVolume } from './create.js';
import { beginningOf } from './reencrypt-shift.js';
import { shiftedPartsOf } from './reencrypt-shift-parts.js';

const PIECE_BYTES = 1024 * 1024;
/** Less leaves no room for a keyslot. */
const MIN_REDUCTION_BYTES = 1024 * 1024;
const SECTOR_BYTES = 512;
/** No header that is made here is larger. */
const MAX_HEADER_BYTES = 16 * PIECE_BYTES;

/** Half of what is given up is for the header, as with cryptsetup, and half for the head of the data. */
function requireShift(reducedBytes: number): number {
  const isAligned = reducedBytes % (2 * AREA_ALIGN_BYTES) === 0;
  if (reducedBytes >= MIN_REDUCTION_BYTES && isAligned) return reducedBytes / 2;
  throw new LuksError(
    'BAD_ARGUMENT',
    'the reduction must be a multiple of 8K, and 1M at least; 32M is usual',
  );
}

/** What is to be done on a device of this size. Throws BAD_ARGUMENT where it has no room. */
function requireSides(header: LuksHeader, payload: Device, shiftBytes: number) {
  const final = header.segments[0]!;
  const dataBytes = payload.sizeBytes - 2 * shiftBytes;
  if (dataBytes < shiftBytes || dataBytes % final.sectorSizeBytes !== 0) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `${payload.path} has ${formatBytes(payload.sizeBytes)}: without what is given up that must be whole sectors of ` +
        `${final.sectorSizeBytes} bytes, ${formatBytes(shiftBytes)} at least`,
    );
  }
  const plain = { ...final, type: 'linear', encryption: null, sectorSizeBytes: 512 } satisfies Segment;
  const previous = { ...plain, offsetBytes: 0, sizeBytes: dataBytes };
  const moved = { ...plain, offsetBytes: dataBytes + shiftBytes, sizeBytes: shiftBytes };
  return { previous, final, moved, shiftBytes, previousDigest: null, finalDigest: 0 };
}

async function withBegun(
  header: LuksHeader,
  volumeKey: Uint8Array,
  payload: Device,
  shiftBytes: number,
): Promise<LuksHeader> {
  const { offsetBytes } = requireLargestArea(header);
  const shifted: ShiftedEncryption = {
    ...requireSides(header, payload, shiftBytes),
    keyslot: requireFreeId(header, 'keyslots', undefined),
    area: { offsetBytes, sizeBytes: AREA_ALIGN_BYTES },
  };
  const begun = withShiftedEncryption(header, shifted, shiftedPartsOf(beginningOf(shifted)));
  return withVerifiedReencryption(begun, findShiftedEncryption(begun)!, new Map([[0, volumeKey]]));
}

/** The header's bytes: what the steps, which overwrite all of it, come to. */
function imageOf(header: LuksHeader, steps: readonly WriteStep[]): Buffer {
  const image = Buffer.alloc(header.headerSizeBytes);
  for (const { offsetBytes, bytes } of steps) image.set(bytes, offsetBytes);
  return image;
}

/** Writes a header to the start of the device: first what its metadata names. */
function installHeader(device: Device, header: LuksHeader, image: Buffer): void {
  const { disk } = header;
  const hdrSizeBytes = disk.version === 2 ? disk.hdrSizeBytes : 0;
  const step = (what: string, start: number, end: number): WriteStep => ({
    what,
    offsetBytes: start,
    bytes: image.subarray(start, end),
  });
  applySteps(device, [
    step('keyslots area', 2 * hdrSizeBytes, image.length),
    step('primary copy', 0, hdrSizeBytes),
    step('secondary copy', hdrSizeBytes, 2 * hdrSizeBytes),
  ]);
}

/**
 * Records on `payload`, which is plaintext, that it is to be encrypted behind a header of its own, for which its last
 * `reducedBytes` are given up. Throws as `formatVolume` does.
 */
export function beginShiftedEncryption(
  payload: string,
  reducedBytes: number,
  passphrase: Uint8Array,
  options: FormatOptions,
): Promise<LuksHeader> {
  const shiftBytes = requireShift(reducedBytes);
  return formatVolume({ payload }, passphrase, {
    ...options,
    pairing: false,
    offsetBytes: shiftBytes,
    adapt: (header, volumeKey, device) => withBegun(header, volumeKey, device, shiftBytes),
    place: (device, steps, header) => {
      const image = imageOf(header, steps);
      const { previous, moved } = findShiftedEncryption(header)!;
      copyWithin(device, 0, moved.offsetBytes, shiftBytes);
      applySteps(device, [{ what: 'spare header', offsetBytes: previous.sizeBytes as number, bytes: image }]);
      installHeader(device, header, image);
    },
  });
}

/** True where each sector that the header takes has the header's bytes already, or those of the copy of the data's head. */
function isReplaceable(device: Device, image: Buffer, copyOffsetBytes: number): boolean {
  const [there, copy] = [Buffer.alloc(image.length), Buffer.alloc(image.length)];
  device.readFullyAt(there, 0);
  device.readFullyAt(copy, copyOffsetBytes);
  for (let at = 0; at < image.length; at += SECTOR_BYTES) {
    const sector = there.subarray(at, at + SECTOR_BYTES);
    const isKnown = [image, copy].some((from) => sector.equals(from.subarray(at, at + SECTOR_BYTES)));
    if (!isKnown) return false;
  }
  return true;
}

/** The spare header of an encryption of this device that nothing is done of; null where there is none. */
function findSpare(device: Device, shiftBytes: number): { header: LuksHeader; image: Buffer } | null {
  const dataBytes = device.sizeBytes - 2 * shiftBytes;
  if (dataBytes < shiftBytes) return null;
  const spare = Buffer.alloc(Math.min(shiftBytes, MAX_HEADER_BYTES));
  device.readFullyAt(spare, dataBytes);
  const header = findReadableHeader(new MemoryDevice(spare, device.path));
  const shifted = header && findShiftedEncryption(header);
  if (!header || !shifted || header.headerSizeBytes > spare.length) return null;
  const isOfThis = shifted.shiftBytes === shiftBytes && shifted.previous.sizeBytes === dataBytes;
  if (!isOfThis || !hasShiftedParts(header, shifted, shiftedPartsOf(beginningOf(shifted)))) return null;
  const image = spare.subarray(0, header.headerSizeBytes);
  // Data that only looks like a spare header cannot have anything overwritten that is not kept elsewhere.
  return isReplaceable(device, image, shifted.moved.offsetBytes) ? { header, image } : null;
}

/** Where a cut left no whole header at the start of `payload`, but the spare one, puts that in its place. */
export async function restoreSpareHeader(payload: string, reducedBytes: number): Promise<void> {
  const shiftBytes = requireShift(reducedBytes);
  const device = Device.open(payload, { isReadOnly: false });
  try {
    lockImage(device, 'writer');
    await withHeaderLock(device, async () => {
      const there = findReadableHeader(device);
      if (there && findShiftedEncryption(there)?.shiftBytes !== shiftBytes) {
        throw new LuksError(
          'BAD_ARGUMENT',
          `the header of ${payload} records no encryption that gives up ${formatBytes(reducedBytes)}`,
        );
      }
      const spare = findSpare(device, shiftBytes);
      if (!spare || (there && there.uuid !== spare.header.uuid)) return;
      const isWhole =
        there?.disk.version === 2 &&
        [there.disk.primary, there.disk.secondary].every(({ state }) => state === 'valid');
      if (!isWhole) installHeader(device, spare.header, spare.image);
    });
  } finally {
    device.close();
  }
}
