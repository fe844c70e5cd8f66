/**
 * Finds and reads the LUKS header of a device, whichever version it is. Only reads.
 */
import type { ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { decodeLuks1, LUKS1_HEADER_BYTES, materialEndBytes } from './luks1.js';
import { formatVersion, HDR_SIZES_BYTES, hasMagic } from './luks2-binary.js';
import { findLuks2 } from './luks2-pair.js';
import type { LuksHeader } from './model.js';

/** Magic and version, with zeros where the device ends earlier. */
function readStart(device: ReadableDevice, offsetBytes: number): Buffer {
  const start = Buffer.alloc(8);
  device.readAt(start, offsetBytes);
  return start;
}

/** The version that the magic at the device's start claims, null where there is no such magic. */
function versionAtStart(device: ReadableDevice): number | null {
  const start = readStart(device, 0);
  return hasMagic(start, 'primary') ? formatVersion(start) : null;
}

function readLuks1(device: ReadableDevice): LuksHeader {
  const bytes = Buffer.alloc(LUKS1_HEADER_BYTES);
  const isShort = device.readAt(bytes, 0) < bytes.length;
  const header = isShort ? null : decodeLuks1(bytes);
  const neededBytes = header?.disk.version === 1 ? materialEndBytes(header.disk) : LUKS1_HEADER_BYTES;
  if (header && device.sizeBytes >= neededBytes) return header;
  throw new LuksError(
    'HEADER_CORRUPT',
    `${device.path} is truncated: its LUKS1 header and keyslots take ${neededBytes} bytes ` +
      `and it has ${device.sizeBytes}; restore it from a backup`,
  );
}

function hasSecondaryMagic(device: ReadableDevice): boolean {
  return HDR_SIZES_BYTES.some((offsetBytes) => hasMagic(readStart(device, offsetBytes), 'secondary'));
}

/** True where a LUKS magic is found, good header or not: the primary one or, with that dead, a secondary. */
export function isLuks(device: ReadableDevice): boolean {
  const version = versionAtStart(device);
  return version === 1 || version === 2 || hasSecondaryMagic(device);
}

/**
 * The header of `device`, or null where nothing on it looks like one.
 * Throws HEADER_CORRUPT for one that is there and breaks a rule or is cut short, UNSUPPORTED for a version
 * that is neither 1 nor 2.
 */
export function findHeader(device: ReadableDevice): LuksHeader | null {
  const version = versionAtStart(device);
  if (version === 1) return readLuks1(device);
  if (version === null || version === 2 || hasSecondaryMagic(device)) return findLuks2(device);
  throw new LuksError(
    'UNSUPPORTED',
    `${device.path} has a LUKS header of version ${version}; 1 and 2 are known`,
  );
}

/** As `findHeader`, but null also for one that is too damaged to be read. */
export function findReadableHeader(device: ReadableDevice): LuksHeader | null {
  try {
    return findHeader(device);
  } catch (error) {
    if (error instanceof LuksError && error.code === 'HEADER_CORRUPT') return null;
    throw error;
  }
}

/** As `findHeader`, but throws NOT_LUKS where there is none. */
export function readHeader(device: ReadableDevice): LuksHeader {
  const header = findHeader(device);
  if (header) return header;
  throw new LuksError('NOT_LUKS', `${device.path} carries no LUKS header`);
}
