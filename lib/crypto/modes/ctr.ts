/**
 * Counter mode (NIST SP 800-38A, 6.5): the IV is the first counter of the sector, counted up as one big-endian
 * number. With `plain64` the counters of neighbouring sectors do not overlap, but every overwrite of a sector
 * reuses its keystream: read here because such volumes exist.
 */
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

function open({ kernel, engine, cipher, key, sectorSizeBytes }: ModeContext): SectorMode | null {
  const block = engine.findBlockCipher(kernel, cipher, key);
  if (!block) return null;
  const { functions, ivsOffset, workOffset } = kernel;
  const turn = (offset: number, sectorCount: number) => {
    const length = sectorCount * sectorSizeBytes;
    functions.fillCounters(workOffset, ivsOffset, sectorCount, sectorSizeBytes, cipher.blockBytes);
    block.encrypt(workOffset, workOffset, length);
    functions.xorBytes(offset, workOffset, length);
  };
  return { encrypt: turn, decrypt: turn, destroy: () => block.destroy() };
}

export const ctr: ModeRow = {
  name: 'ctr',
  ivBytes: (cipher) => cipher.blockBytes,
  keySizesBytes: (cipher) => (cipher.blockBytes > 1 ? cipher.keySizesBytes : []),
  open,
};
