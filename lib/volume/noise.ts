/**
 * Fills payloads with noise, so that nothing tells what was written through a volume from what was not.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { wipe } from '../bytes.js';
import { type Device, requireRange } from '../device.js';
import { lockImage } from '../image-lock.js';

const CHUNK_BYTES = 1024 * 1024;

/**
 * From `offsetBytes` to the end: zeros under AES-256-CTR with a key that is thrown away. Claims `payload` as a writer until
 * it is closed: BUSY where it is in use.
 */
export async function wipePayload(
  payload: Device,
  offsetBytes: number,
  onProgress: (doneBytes: number, totalBytes: number) => void = () => {},
): Promise<void> {
  lockImage(payload, 'writer');
  requireRange(offsetBytes, 0);
  const key = randomBytes(32);
  const noise = createCipheriv('aes-256-ctr', key, randomBytes(16));
  wipe(key);
  const zeros = Buffer.alloc(CHUNK_BYTES);
  const totalBytes = payload.sizeBytes - offsetBytes;
  for (let done = 0; done < totalBytes; done += zeros.length) {
    const sizeBytes = Math.min(zeros.length, totalBytes - done);
    payload.writeAt(noise.update(zeros.subarray(0, sizeBytes)), offsetBytes + done);
    onProgress(done + sizeBytes, totalBytes);
    await nextTurn();
  }
  payload.sync();
}
