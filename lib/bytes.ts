/**
 * Arithmetic and text over byte buffers that every room needs. Knows no format.
 */
import { LuksError } from './errors.js';
import { requireUtf8 } from './native/raw-names.js';

/** `value` rounded up to the next multiple of `step`, both in the same unit. */
export function alignUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** `value` rounded down to a multiple of `step`. */
export function alignDown(value: number, step: number): number {
  return Math.floor(value / step) * step;
}

/** `lengthBytes` of `bytes` from `startBytes` on; a view is made only where that is not all of it, for it is not cheap. */
export function partOf(bytes: Uint8Array, startBytes: number, lengthBytes: number): Uint8Array {
  const isAll = startBytes === 0 && lengthBytes === bytes.length;
  return isAll ? bytes : bytes.subarray(startBytes, startBytes + lengthBytes);
}

export function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

/** Overwrites key material. Call it in `finally`, on every buffer that held a key or a passphrase. */
export function wipe(...buffers: (Uint8Array | null | undefined)[]): void {
  for (const buffer of buffers) buffer?.fill(0);
}

/**
 * A u64 as a JS number. Sizes and offsets above 2^53 bytes (8 PiB) cannot be addressed exactly, so they
 * are refused here, once, and are plain numbers everywhere else.
 */
export function safeNumber(value: bigint, what: string): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new LuksError('UNSUPPORTED', `${what} is ${value}, more than the 2^53 bytes that can be addressed`);
  }
  return Number(value);
}

/**
 * The text of a fixed-size NUL-padded field, or null where no NUL ends it or it is not printable ASCII.
 */
export function decodeCString(field: Uint8Array): string | null {
  const end = field.indexOf(0);
  if (end < 0) return null;
  const text = Buffer.from(field.subarray(0, end)).toString('latin1');
  return /^[\x20-\x7e]*$/.test(text) ? text : null;
}

/** `text` in a field of `sizeBytes`, NUL-padded and NUL-terminated. */
export function encodeCString(text: string, sizeBytes: number): Buffer {
  requireUtf8(text, 'a text in a header');
  const field = Buffer.alloc(sizeBytes);
  if (Buffer.byteLength(text) >= sizeBytes) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `"${text}" is longer than the ${sizeBytes - 1} bytes its field holds`,
    );
  }
  field.write(text, 'utf8');
  return field;
}

/** A byte count for people: `16 MiB`, `1.5 GiB`, `512 B`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}
