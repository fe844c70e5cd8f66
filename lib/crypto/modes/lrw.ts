/**
 * LRW (IEEE P1619 drafts before XTS took its place). The key is the block cipher's, then 16 bytes for the tweaks;
 * the IV is the number of the sector's first block (`benbi`).
 */
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

const BLOCK_BYTES = 16;
const TWEAK_KEY_BYTES = 16;
/** Of setLrwKey: 2 tables of 128 blocks. */
const TABLES_BYTES = 4096;

function open({ kernel, engine, cipher, key, sectorSizeBytes }: ModeContext): SectorMode | null {
  const { functions, ivsOffset } = kernel;
  const blockKeyBytes = key.length - TWEAK_KEY_BYTES;
  const block = engine.findBlockCipher(kernel, cipher, key.subarray(0, blockKeyBytes));
  if (!block) return null;
  const tables = kernel.allocateKey(TABLES_BYTES);
  // The last table entry is written last, so the key may lie there until it is read.
  const tweakKey = tables + TABLES_BYTES - TWEAK_KEY_BYTES;
  kernel.bytes.set(key.subarray(blockKeyBytes), tweakKey);
  functions.setLrwKey(tables, tweakKey);
  const turn = (direction: 'encrypt' | 'decrypt', offset: number, sectorCount: number) => {
    functions.maskLrw(offset, ivsOffset, tables, sectorCount, sectorSizeBytes);
    block[direction](offset, offset, sectorCount * sectorSizeBytes);
    functions.maskLrw(offset, ivsOffset, tables, sectorCount, sectorSizeBytes);
  };
  return {
    encrypt: (offset, sectorCount) => turn('encrypt', offset, sectorCount),
    decrypt: (offset, sectorCount) => turn('decrypt', offset, sectorCount),
    destroy: () => {
      block.destroy();
      kernel.releaseKey(tables, TABLES_BYTES);
    },
  };
}

export const lrw: ModeRow = {
  name: 'lrw',
  ivBytes: () => BLOCK_BYTES,
  keySizesBytes: (cipher) =>
    cipher.blockBytes === BLOCK_BYTES ? cipher.keySizesBytes.map((bytes) => bytes + TWEAK_KEY_BYTES) : [],
  open,
};
