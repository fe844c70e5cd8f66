/**
 * How fast a sector cipher is on this machine. Prints nothing.
 */
import { wipe } from '../bytes.js';
import { allocateIoBuffer, releaseIoBuffer } from './kernel.js';
import { createSectorCipher, type EngineName } from './sector-cipher.js';

/** One spec and key size for each cipher and mode that volumes are made with. */
export const BENCHMARK_CIPHERS: readonly { spec: string; keyBits: number }[] = [
  { spec: 'aes-xts-plain64', keyBits: 512 },
  { spec: 'aes-xts-plain64', keyBits: 256 },
  { spec: 'aes-cbc-essiv:sha256', keyBits: 256 },
  { spec: 'aes-ctr-plain64', keyBits: 256 },
  { spec: 'aes-lrw-benbi', keyBits: 384 },
  { spec: 'aes-hctr2-plain64', keyBits: 256 },
  { spec: 'xchacha12,aes-adiantum-plain64', keyBits: 256 },
  { spec: 'xchacha20,aes-adiantum-plain64', keyBits: 256 },
  { spec: 'serpent-xts-plain64', keyBits: 512 },
  { spec: 'serpent-cbc-essiv:sha256', keyBits: 256 },
  { spec: 'twofish-xts-plain64', keyBits: 512 },
  { spec: 'twofish-cbc-essiv:sha256', keyBits: 256 },
  { spec: 'camellia-xts-plain64', keyBits: 512 },
  { spec: 'aria-xts-plain64', keyBits: 512 },
  { spec: 'sm4-xts-plain64', keyBits: 256 },
  { spec: 'cast6-xts-plain64', keyBits: 512 },
  { spec: 'cast5-cbc-plain64', keyBits: 128 },
  { spec: 'blowfish-cbc-plain64', keyBits: 256 },
  { spec: 'des3_ede-cbc-plain64', keyBits: 192 },
];

export interface CipherSpeed {
  spec: string;
  keyBits: number;
  sectorSizeBytes: number;
  engine: EngineName;
  encryptMiBps: number;
  decryptMiBps: number;
}

/** Long enough for the compilers to have done their best. */
const WARM_UP_MS = 30;
/** Short enough to fit between two interruptions by other processes. */
const ROUND_MS = 3;

/** Calls for some `roundMs`; the speed of that. */
function measureRound(bytesPerCall: number, roundMs: number, call: () => void): number {
  const start = performance.now();
  let calls = 0;
  let elapsedMs = 0;
  do {
    call();
    calls += 1;
    elapsedMs = performance.now() - start;
  } while (elapsedMs < roundMs);
  return (calls * bytesPerCall) / 2 ** 20 / (elapsedMs / 1000);
}

/** The best of many short rounds, of one at least: what disturbs a round can only make it slower. */
function measureMiBps(bytesPerCall: number, measureMs: number, call: () => void): number {
  measureRound(bytesPerCall, WARM_UP_MS, call);
  const end = performance.now() + measureMs;
  let best = 0;
  do best = Math.max(best, measureRound(bytesPerCall, ROUND_MS, call));
  while (performance.now() < end);
  return best;
}

/**
 * Measures one cipher, both ways, in place on requests of `requestBytes` (64 KiB), on this thread, in about
 * 0.3 seconds. Throws as `createSectorCipher` does.
 */
export function benchmarkCipher(
  spec: string,
  keyBits: number,
  sectorSizeBytes: number,
  options: { engine?: EngineName; requestBytes?: number; measureMs?: number } = {},
): CipherSpeed {
  const { requestBytes = 65536, measureMs = 120, ...cipherOptions } = options;
  const key = Buffer.from(Uint8Array.from({ length: keyBits / 8 }, (_, index) => index));
  const cipher = createSectorCipher(spec, key, sectorSizeBytes, cipherOptions);
  const data = allocateIoBuffer(requestBytes);
  try {
    const encryptMiBps = measureMiBps(requestBytes, measureMs, () => cipher.encryptInPlace(data, 1n));
    const decryptMiBps = measureMiBps(requestBytes, measureMs, () => cipher.decryptInPlace(data, 1n));
    return { spec, keyBits, sectorSizeBytes, engine: cipher.engine, encryptMiBps, decryptMiBps };
  } finally {
    wipe(data);
    releaseIoBuffer(data);
    cipher.destroy();
  }
}
