/**
 * The file or block device that a new header goes to: what is in it already, and making it where it is missing.
 */
import fs from 'node:fs';
import { formatBytes } from '../bytes.js';
import { Device, syncDirectoryOf } from '../device.js';
import { isSystemError, LuksError } from '../errors.js';
import { isLuks } from '../format/header.js';
import { findSignature } from '../format/signatures.js';

/** A header with cryptsetup's usual sizes overwrites no more than this; signatures lie well within it. */
const LOOK_BYTES = 16 * 1024 * 1024;

/** True where both names lead to one file or one device. */
export function isSameFile(a: string, b: string): boolean {
  const [statA, statB] = [a, b].map((file) => fs.statSync(file, { throwIfNoEntry: false }));
  if (!statA || !statB) return false;
  if (statA.isBlockDevice() && statB.isBlockDevice()) return statA.rdev === statB.rdev;
  return statA.dev === statB.dev && statA.ino === statB.ino;
}

/** What a new header at the start of `file` would destroy, for people; null for nothing: no file, or zeros. */
export function findContent(file: string): string | null {
  if (!fs.existsSync(file)) return null;
  const device = Device.open(file, { isReadOnly: true });
  try {
    if (isLuks(device)) return 'a LUKS header';
    const start = Buffer.alloc(Math.min(device.sizeBytes, LOOK_BYTES));
    device.readFullyAt(start, 0);
    return findSignature(start) ?? (start.some((byte) => byte !== 0) ? 'data' : null);
  } finally {
    device.close();
  }
}

/** Grows a regular file to `sizeBytes`, and makes it where there is none. True where it was made. */
function prepareFile(file: string, sizeBytes: number): boolean {
  const isNew = !fs.existsSync(file);
  const fd = fs.openSync(file, isNew ? 'wx+' : 'r+', 0o600);
  try {
    const stat = fs.fstatSync(fd);
    if (stat.isFile() && stat.size < sizeBytes) fs.ftruncateSync(fd, sizeBytes);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  if (isNew) syncDirectoryOf(file);
  return isNew;
}

function writePartial(partial: string, image: Buffer): void {
  const fd = fs.openSync(partial, 'wx', 0o600);
  try {
    fs.writeFileSync(fd, image);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Makes a file of a header, which is there whole, on stable storage, or not at all. A cut can leave what was written of it
 * under another name, which says what it is and is used again. Throws BAD_ARGUMENT where the file exists, DEVICE_IO.
 */
export function writeNewHeaderFile(file: string, image: Buffer, uuid: string): void {
  const partial = `${file}.${uuid}.partial`;
  try {
    fs.rmSync(partial, { force: true });
    writePartial(partial, image);
    if (fs.lstatSync(file, { throwIfNoEntry: false })) {
      throw new LuksError('BAD_ARGUMENT', `${file} exists, and is not overwritten; give another name`);
    }
    fs.renameSync(partial, file);
    syncDirectoryOf(file);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new LuksError('DEVICE_IO', `cannot make the header file ${file}: ${cause.message}`, { cause });
  } finally {
    fs.rmSync(partial, { force: true });
  }
}

export interface HeaderFile {
  /** Open for writing, and as large as asked for. */
  device: Device;
  /** Removes the file where it was made here. */
  discard(): void;
}

/** Throws DEVICE_IO with the system's reason, BUSY, or BAD_ARGUMENT for a device that is too small. */
export function openHeaderFile(file: string, sizeBytes: number): HeaderFile {
  let isNew: boolean;
  try {
    isNew = prepareFile(file, sizeBytes);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new LuksError('DEVICE_IO', `cannot make the header file ${file}: ${cause.message}`, { cause });
  }
  const device = Device.open(file, { isReadOnly: false });
  if (device.sizeBytes >= sizeBytes) return { device, discard: () => isNew && fs.rmSync(file) };
  device.close();
  throw new LuksError(
    'BAD_ARGUMENT',
    `${file} has ${formatBytes(device.sizeBytes)} and the header takes ${formatBytes(sizeBytes)}; ` +
      'use a larger device, or a smaller keyslots area (--luks2-keyslots-size)',
  );
}
