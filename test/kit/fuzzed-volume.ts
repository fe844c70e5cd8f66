/**
 * A header and its payload with a reencryption under way, for headers that were changed by somebody who has no key.
 */
import type { KdfLimits } from '../../lib/crypto/kdf.js';
import { Device } from '../../lib/device.js';

const limits: KdfLimits = { pbkdf2Iterations: 20_000, argon2MemoryKiB: 4096, argon2WorkKiB: 16384 };

/** What opens it, within moments. */
export const FUZZ_UNLOCK = { passphrase: Buffer.from('x'), limits };

export interface HeaderAndPayload {
  header: string;
  payload: string;
}

/** In the middle of the work. */
export interface FuzzedVolume<Begun> extends HeaderAndPayload {
  /** The bytes of both. */
  image: Buffer;
  data: Buffer;
  begun: Begun;
}

export async function withDevices<T>(
  files: HeaderAndPayload,
  use: (header: Device, payload: Device) => Promise<T>,
  { isReadOnly = false } = {},
): Promise<T> {
  const header = Device.open(files.header, { isReadOnly });
  const payload = Device.open(files.payload, { isReadOnly });
  try {
    return await use(header, payload);
  } finally {
    header.close();
    payload.close();
  }
}

/** For `isStopped`: true when it was asked so often. */
export function stopAfter(zones: number): () => boolean {
  let left = zones;
  return () => {
    left -= 1;
    return left < 0;
  };
}
