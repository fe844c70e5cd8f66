/**
 * HCTR2 (P. Crowley, N. Huckleberry, E. Biggers, 2021): a whole sector as one block, changed everywhere by any change.
 * Two passes of POLYVAL around AES in XCTR mode.
 */
import type { BlockCipher } from '../engines/engine.js';
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

const TWEAK_BYTES = 32;
const BLOCK_BYTES = 16;
/** Of setHctr2Key (wasm/assembly/hctr2.ts), which also says where L goes. */
const SCHEDULE_BYTES = 4112;
const L_OFFSET = 4096;

/** The hash key is the cipher of 0 and L the cipher of 1, little-endian (HCTR2, 3.1). */
function setKey({ kernel }: ModeContext, block: BlockCipher, schedule: number): void {
  kernel.bytes[schedule + L_OFFSET] = 1;
  block.encrypt(schedule, schedule, BLOCK_BYTES);
  block.encrypt(schedule + L_OFFSET, schedule + L_OFFSET, BLOCK_BYTES);
  kernel.functions.setHctr2Key(schedule);
}

function open(context: ModeContext): SectorMode | null {
  const { kernel, engine, cipher, key, sectorSizeBytes: bytes } = context;
  const { functions, ivsOffset, workOffset, sideOffset } = kernel;
  const block = engine.findBlockCipher(kernel, cipher, key);
  if (!block) return null;
  const schedule = kernel.allocateKey(SCHEDULE_BYTES);
  setKey(context, block, schedule);
  const turn = (direction: 'encrypt' | 'decrypt', offset: number, sectorCount: number) => {
    // One block a sector: the narrow part with the hash in, before and after the block cipher.
    const before = sideOffset;
    const after = sideOffset + sectorCount * BLOCK_BYTES;
    functions.loadColumn(before, offset, sectorCount, bytes, BLOCK_BYTES);
    functions.xorHctr2Hash(schedule, offset, ivsOffset, before, sectorCount, bytes);
    block[direction](before, after, sectorCount * BLOCK_BYTES);
    functions.fillXctr(schedule, workOffset, before, after, sectorCount, bytes);
    block.encrypt(workOffset, workOffset, sectorCount * (bytes - BLOCK_BYTES));
    functions.xorXctr(offset, workOffset, sectorCount, bytes);
    functions.xorHctr2Hash(schedule, offset, ivsOffset, after, sectorCount, bytes);
    functions.storeColumn(after, offset, sectorCount, bytes, BLOCK_BYTES);
  };
  return {
    encrypt: (offset, sectorCount) => turn('encrypt', offset, sectorCount),
    decrypt: (offset, sectorCount) => turn('decrypt', offset, sectorCount),
    destroy: () => {
      block.destroy();
      kernel.releaseKey(schedule, SCHEDULE_BYTES);
    },
  };
}

export const hctr2: ModeRow = {
  name: 'hctr2',
  ivBytes: () => TWEAK_BYTES,
  keySizesBytes: (cipher) => (cipher.name === 'aes' ? cipher.keySizesBytes : []),
  open,
};
