/**
 * How much key material any source may give, and the error for more.
 */
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';

/** As cryptsetup's compiled-in limit for key files. */
export const MAX_KEY_BYTES = 8 * 1024 * 1024;

/** `key`, or BAD_ARGUMENT (and the key wiped) where it is longer than the limit. */
export function requireKeySize(key: Buffer, source: string): Buffer {
  if (key.length <= MAX_KEY_BYTES) return key;
  wipe(key);
  throw new LuksError(
    'BAD_ARGUMENT',
    `${source} gives more than ${MAX_KEY_BYTES / 1024} KiB, the longest key; take a part of it`,
  );
}

/** Runs `read` and turns the system's errors into BAD_ARGUMENT: the source that was named cannot be read. */
export function readingKeyFrom<T>(source: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof LuksError) throw cause;
    throw new LuksError('BAD_ARGUMENT', `cannot read ${source}: ${(cause as Error).message}`, { cause });
  }
}
