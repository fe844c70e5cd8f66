/**
 * CBC (NIST SP 800-38A, 6.2), each sector a message of its own.
 *
 * Decryption runs a whole chunk through the block cipher at once and XORs the ciphertext in afterwards.
 * Encryption of many sectors takes them side by side, one column of blocks a call; few sectors go one by one
 * through the engine's own chain, whose memory of the last block is XORed out of the next sector's head.
 */
import type { BlockCipher, CbcChain } from '../engines/engine.js';
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

type Encrypt = (offset: number, sectorCount: number) => void;

function encryptInColumns({ kernel, cipher, sectorSizeBytes }: ModeContext, block: BlockCipher): Encrypt {
  const { functions, ivsOffset: work } = kernel;
  const { blockBytes } = cipher;
  return (offset, sectorCount) => {
    const columnBytes = sectorCount * blockBytes;
    const lastColumn = offset + sectorSizeBytes - blockBytes;
    functions.xorColumn(work, offset, sectorCount, sectorSizeBytes, blockBytes);
    block.encrypt(work, work, columnBytes);
    for (let column = offset; column < lastColumn; column += blockBytes) {
      functions.stepColumn(work, column, sectorCount, sectorSizeBytes, blockBytes);
      block.encrypt(work, work, columnBytes);
    }
    functions.storeColumn(work, lastColumn, sectorCount, sectorSizeBytes, blockBytes);
  };
}

/** @param last where the chain's last block is kept, zero at first. */
function encryptInChain(context: ModeContext, chain: CbcChain, last: number): Encrypt {
  const { functions, ivsOffset } = context.kernel;
  const { sectorSizeBytes } = context;
  const { blockBytes } = context.cipher;
  return (offset, sectorCount) => {
    for (let sector = 0; sector < sectorCount; sector += 1) {
      const head = offset + sector * sectorSizeBytes;
      functions.xorBlock(head, ivsOffset + sector * blockBytes, blockBytes);
      functions.xorBlock(head, last, blockBytes);
      chain.encryptInPlace(head, sectorSizeBytes);
      functions.copyBlock(last, head + sectorSizeBytes - blockBytes, blockBytes);
    }
  };
}

function open(context: ModeContext): SectorMode | null {
  const { kernel, engine, cipher, key, sectorSizeBytes } = context;
  const block = engine.findBlockCipher(kernel, cipher, key);
  if (!block) return null;
  const chain = engine.findCbcChain(kernel, cipher, key);
  const last = chain ? kernel.allocateKey(cipher.blockBytes) : 0;
  const inColumns = encryptInColumns(context, block);
  const inChain = chain ? encryptInChain(context, chain, last) : inColumns;
  const columnSectors = chain?.columnSectors ?? 1;
  return {
    encrypt: (offset, sectorCount) =>
      sectorCount < columnSectors ? inChain(offset, sectorCount) : inColumns(offset, sectorCount),
    decrypt: (offset, sectorCount) => {
      const { functions, ivsOffset, workOffset } = kernel;
      block.decrypt(offset, workOffset, sectorCount * sectorSizeBytes);
      functions.unchainCbc(offset, workOffset, ivsOffset, sectorCount, sectorSizeBytes, cipher.blockBytes);
    },
    destroy: () => {
      block.destroy();
      chain?.destroy();
      if (chain) kernel.releaseKey(last, cipher.blockBytes);
    },
  };
}

export const cbc: ModeRow = {
  name: 'cbc',
  ivBytes: (cipher) => cipher.blockBytes,
  keySizesBytes: (cipher) => (cipher.blockBytes > 1 ? cipher.keySizesBytes : []),
  open,
};
