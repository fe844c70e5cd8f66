/**
 * IVs that are the sector number itself, or nothing (dm-crypt documentation, the IV generators): `plain64` is
 * little-endian, `plain` only its low 32 bits, `plain64be` big-endian at the end of the IV, `null` zero.
 */
import type { IvGenerator, IvRow } from './iv.js';

function row(name: string, fill: (context: Parameters<IvRow['open']>[0]) => IvGenerator['fill']): IvRow {
  return {
    name,
    takesHash: false,
    onlyMode: null,
    open: (context) => ({ fill: fill(context), destroy: () => {} }),
  };
}

export const plain64 = row(
  'plain64',
  ({ kernel: { functions }, ivBytes }) =>
    (target, count, first, step) => {
      functions.fillPlain64(target, count, ivBytes, first, step);
    },
);

export const plain = row('plain', ({ kernel: { functions }, ivBytes }) => (target, count, first, step) => {
  functions.fillPlain(target, count, ivBytes, first, step);
});

export const plain64be = row(
  'plain64be',
  ({ kernel: { functions }, ivBytes }) =>
    (target, count, first, step) => {
      functions.fillPlain64Be(target, count, ivBytes, first, step);
    },
);

export const nullIv = row('null', ({ kernel: { functions }, ivBytes }) => (target, count) => {
  functions.fillNull(target, count, ivBytes);
});
