/**
 * The number of the sector's first block of the cipher, counted from 1, big-endian at the end of the IV (dm-crypt's
 * `benbi`, made for LRW).
 */
import { IV_SECTOR_BYTES, type IvRow } from './iv.js';

export const benbi: IvRow = {
  name: 'benbi',
  takesHash: false,
  onlyMode: null,
  open: ({ kernel: { functions }, cipher, ivBytes }) => {
    // Adiantum counts as AES does: its block in the kernel's crypto API is 16 bytes.
    const blocksPerSector = BigInt(IV_SECTOR_BYTES / (cipher.blockBytes === 8 ? 8 : 16));
    return {
      fill: (target, count, first, step) =>
        functions.fillPlain64Be(target, count, ivBytes, first * blocksPerSector + 1n, step * blocksPerSector),
      destroy: () => {},
    };
  },
};
