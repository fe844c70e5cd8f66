/**
 * One line of standard input, as a passphrase from a pipe.
 */
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { MAX_KEY_BYTES } from '../keysource/key-bytes.js';
import { readBlocking } from '../stream.js';

const STDIN = 0;
const NEWLINE = 0x0a;

/**
 * Up to the first newline, which is dropped, or to the end; null where it has ended before. Read byte by byte, so
 * that what follows the newline is left for whoever reads next. The caller wipes it.
 */
export function findStdinLine(): Buffer | null {
  const byte = Buffer.alloc(1);
  const line = Buffer.alloc(MAX_KEY_BYTES);
  let length = 0;
  let hasEnded = false;
  while (length < line.length) {
    hasEnded = readBlocking(STDIN, byte) === 0;
    if (hasEnded || byte[0] === NEWLINE) break;
    line[length] = byte[0]!;
    length += 1;
  }
  const found = hasEnded && length === 0 ? null : Buffer.from(line.subarray(0, length));
  wipe(line.subarray(0, length), byte);
  return found;
}

/** As `findStdinLine`, for a passphrase that must be there: an end is not taken for an empty one. */
export function readStdinLine(): Buffer {
  const line = findStdinLine();
  if (line) return line;
  throw new LuksError(
    'BAD_ARGUMENT',
    'standard input ended where a passphrase was expected; give it as a line there, or as a key file',
  );
}
