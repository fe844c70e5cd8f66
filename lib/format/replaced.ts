/**
 * A copy of a header that is gone may have been overwritten by something that is worth more than it: by who made another
 * volume or a file system of the device, say.
 */
import type { ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import type { LuksHeader } from './model.js';
import { findSignature, SIGNATURE_BYTES } from './signatures.js';

/** What is known to be at `offsetBytes`, for people; null for nothing. */
export function findSuccessor(device: ReadableDevice, offsetBytes: number): string | null {
  const bytes = Buffer.alloc(SIGNATURE_BYTES);
  device.readAt(bytes, offsetBytes);
  return findSignature(bytes);
}

/** Throws BAD_ARGUMENT where the header was read from its second copy, and something else begins where the first was. */
export function requireNotReplaced(device: ReadableDevice, { disk }: LuksHeader): void {
  if (disk.version !== 2 || disk.primary.state !== 'absent') return;
  const found = findSuccessor(device, 0);
  if (!found) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `${device.path} is ${found} now, and only a second copy of an older LUKS header is left on it; if that is the one ` +
      'that counts: luksfuse repair --force',
  );
}
