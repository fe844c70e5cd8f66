/**
 * Key material from a file, a descriptor or a Unix socket, as bytes.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { connectUnix } from '../native/socket.js';
import { readUpTo, requireInherited, skipBytes } from '../stream.js';
import { MAX_KEY_BYTES, readingKeyFrom, requireKeySize } from './key-bytes.js';

export interface KeyFileRange {
  /** Bytes to skip. */
  offsetBytes?: number | undefined;
  /** Bytes to take, which must be there; without it, all. */
  sizeBytes?: number | undefined;
}

function readRange(fd: number, source: string, range: KeyFileRange): Buffer {
  const { offsetBytes = 0, sizeBytes } = range;
  if (offsetBytes > 0) skipBytes(fd, offsetBytes);
  const key = readUpTo(fd, sizeBytes ?? MAX_KEY_BYTES + 1);
  if (sizeBytes === undefined) return requireKeySize(key, source);
  if (key.length === sizeBytes) return key;
  wipe(key);
  throw new LuksError(
    'BAD_ARGUMENT',
    `${source} ends after ${key.length} of ${sizeBytes} bytes; check --keyfile-offset and --keyfile-size`,
  );
}

function requireRange({ sizeBytes = 0 }: KeyFileRange): void {
  if (sizeBytes <= MAX_KEY_BYTES) return;
  throw new LuksError('BAD_ARGUMENT', `--keyfile-size is at most ${MAX_KEY_BYTES}`);
}

/**
 * A stream socket is connected to as systemd-cryptsetup does it: the name of the connecting end lies in the
 * abstract namespace and tells the listener which volume the key is for (crypttab(5), "AF_UNIX key files").
 */
function openKeyFile(path: string, volumeName: string): number {
  if (!fs.statSync(path).isSocket()) return fs.openSync(path, 'r');
  return connectUnix(path, `${randomBytes(8).toString('hex')}/cryptsetup/${volumeName}`);
}

/**
 * The bytes of a key file, or what the socket at `path` sends; newlines are bytes as any other. The caller
 * wipes them. Throws BAD_ARGUMENT.
 */
export function readKeyFile(path: string, volumeName: string, range: KeyFileRange = {}): Buffer {
  requireRange(range);
  const source = `key file ${path}`;
  return readingKeyFrom(source, () => {
    const fd = openKeyFile(path, volumeName);
    try {
      return readRange(fd, source, range);
    } finally {
      fs.closeSync(fd);
    }
  });
}

/** The bytes of descriptor `fd`, from where it stands to its end. The caller wipes them. Throws BAD_ARGUMENT. */
export function readKeyDescriptor(fd: number, range: KeyFileRange = {}): Buffer {
  requireRange(range);
  requireInherited(fd);
  const source = fd === 0 ? 'standard input' : `file descriptor ${fd}`;
  return readingKeyFrom(source, () => readRange(fd, source, range));
}
