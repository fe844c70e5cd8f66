/**
 * Writes cpio archives in the "newc" form that the kernel unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Knows nothing of what is in them.
 */
import path from 'node:path';

export interface CpioFile {
  /** Absolute. */
  path: string;
  bytes: Uint8Array;
  isExecutable?: boolean;
}

const DIRECTORY_MODE = 0o040755;
const FILE_MODE = 0o100644;
const EXECUTABLE_MODE = 0o100755;

function padding(sizeBytes: number): Buffer {
  return Buffer.alloc(-sizeBytes & 3);
}

/** One member: 13 fields of 8 hexadecimal digits behind the magic, the name, the bytes, each padded to 4. */
function encodeMember(inode: number, mode: number, name: string, bytes: Uint8Array): Buffer {
  const linkCount = 1;
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [inode, mode, 0, 0, linkCount, 0, bytes.length, 0, 0, 0, 0, nameBytes.length, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const start = Buffer.concat([Buffer.from(head), nameBytes]);
  return Buffer.concat([start, padding(start.length), bytes, padding(bytes.length)]);
}

/** The directories above `file`, outermost first, without the root. */
function parentsOf(file: string): string[] {
  const parent = path.posix.dirname(file);
  return parent === '/' ? [] : [...parentsOf(parent), parent];
}

/** An archive of `files` and the directories they need. Archives one behind the other unpack as one. */
export function encodeCpio(files: readonly CpioFile[], directories: readonly string[] = []): Buffer {
  const wanted = [...directories, ...files.map((file) => file.path)];
  const parents = new Set([...wanted.flatMap(parentsOf), ...directories]);
  const none = Buffer.alloc(0);
  let inode = 0;
  const encode = (mode: number, name: string, bytes: Uint8Array) => {
    inode += 1;
    return encodeMember(inode, mode, name.replace(/^\//, ''), bytes);
  };
  return Buffer.concat([
    ...[...parents].map((name) => encode(DIRECTORY_MODE, name, none)),
    ...files.map((file) => encode(file.isExecutable ? EXECUTABLE_MODE : FILE_MODE, file.path, file.bytes)),
    encodeMember(0, 0, 'TRAILER!!!', none),
  ]);
}
