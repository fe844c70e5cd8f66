/**
 * What a header is read from: its file or block device, or memory where it came as a stream, so that a host
 * has it for the moment of unlocking only. Knows nothing of what a header says.
 */
import fs from 'node:fs';
import { formatBytes, wipe } from '../bytes.js';
import { Device, MemoryDevice, type ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { findDescriptor, readUpTo, requireInherited } from '../stream.js';

/** The longest there is: two LUKS2 copies of 4 MiB and 128 MiB of keyslots. */
export const MAX_HEADER_BYTES = (2 * 4 + 128) * 1024 * 1024;

/** `bytes` as a header's device that messages call `name`. Takes them over. Throws BAD_ARGUMENT beyond the bound. */
function headerInMemory(bytes: Buffer, name: string): MemoryDevice {
  if (bytes.length <= MAX_HEADER_BYTES) return new MemoryDevice(bytes, name);
  wipe(bytes);
  throw new LuksError(
    'BAD_ARGUMENT',
    `${name} gives more than ${formatBytes(MAX_HEADER_BYTES)}, and no header is as long; pass the header alone`,
  );
}

/** Descriptor `fd`, read to its end. */
export function readHeaderStream(fd: number, name: string): MemoryDevice {
  try {
    return headerInMemory(readUpTo(fd, MAX_HEADER_BYTES + 1), name);
  } catch (cause) {
    if (cause instanceof LuksError) throw cause;
    throw new LuksError('DEVICE_IO', `cannot read the header from ${name}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function isStream(path: string): boolean {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  if (!stat) return false;
  return stat.isFIFO() || (findDescriptor(path) !== null && !stat.isFile() && !stat.isBlockDevice());
}

/**
 * The header's device at `path`, open and read-only. A FIFO, and a descriptor (/dev/fd/N) that is no file, is
 * read to its end into memory. Throws DEVICE_IO with the system's reason, or BAD_ARGUMENT.
 */
export function openHeaderDevice(path: string): ReadableDevice {
  const inherited = findDescriptor(path);
  if (inherited !== null) requireInherited(inherited);
  if (!isStream(path)) return Device.open(path, { isReadOnly: true });
  if (inherited !== null) return readHeaderStream(inherited, path);
  let fd: number;
  try {
    fd = fs.openSync(path, 'r');
  } catch (cause) {
    throw new LuksError('DEVICE_IO', `cannot open ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    return readHeaderStream(fd, path);
  } finally {
    fs.closeSync(fd);
  }
}
