/**
 * Sizes as command lines give them: bytes with a unit, keys in bits.
 */
import { InvalidArgumentError } from 'commander';
import { LuksError } from '../errors.js';

const UNITS = ['', 'K', 'M', 'G', 'T'];

/** `16777216`, `16384K` or `16M` in bytes, for an option's value; units are powers of 1024, as cryptsetup's. */
export function byteSize(text: string): number {
  const [, digits, unit = ''] = /^(\d+)([KMGT]?)$/i.exec(text) ?? [];
  const bytes = Number(digits) * 1024 ** UNITS.indexOf(unit.toUpperCase());
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('It must be a number of bytes, or one with K, M, G or T behind it.');
}

/** Bytes of a key of `bits`, as `option` gave it. */
export function keySizeBytes(option: string, bits: number): number {
  if (bits > 0 && bits % 8 === 0) return bits / 8;
  throw new LuksError('BAD_ARGUMENT', `${option} ${bits} is not possible; it must be a multiple of 8 bits`);
}
