/**
 * CBC (NIST SP 800-38A, 6.2), each sector a message of its own.
 *
 * Decryption runs a whole chunk through the engine's own chain at once, which is wrong in the first block of each sector:
 * that is put right. Without such a chain the block cipher does, and the ciphertext is XORed in afterwards.
 * Encryption of many sectors takes them side by side, one column of blocks a call; few sectors go one by one
 * through the engine's own chain, whose memory of the last block is XORed out of the next sector's head.
 */
import type { BlockCipher, CbcChain } from '../engines/engine.js';
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

type Turn = (offset: number, sectorCount: number) => void;

function encryptInColumns({ kernel, cipher, sectorSizeBytes }: ModeContext, block: BlockCipher): Turn {
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
function encryptInChain(context: ModeContext, chain: CbcChain, last: number): Turn {
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

/** @param last as for `encryptInChain`; zero at first, as the chain's IV is. */
function decryptInChain(context: ModeContext, chain: CbcChain, last: number): Turn {
  const { functions, ivsOffset } = context.kernel;
  const { sectorSizeBytes } = context;
  const { blockBytes } = context.cipher;
  return (offset, sectorCount) => {
    // Beside each IV, what the chain XORs into the head of the sector: the block before it.
    const lastColumn = offset + sectorSizeBytes - blockBytes;
    functions.xorBlock(ivsOffset, last, blockBytes);
    functions.xorColumn(ivsOffset + blockBytes, lastColumn, sectorCount - 1, sectorSizeBytes, blockBytes);
    functions.copyBlock(last, lastColumn + (sectorCount - 1) * sectorSizeBytes, blockBytes);
    chain.decryptInPlace(offset, sectorCount * sectorSizeBytes);
    functions.maskColumn(ivsOffset, offset, sectorCount, sectorSizeBytes, blockBytes);
  };
}

function decryptBlocks({ kernel, cipher, sectorSizeBytes }: ModeContext, block: BlockCipher): Turn {
  const { functions, ivsOffset, workOffset } = kernel;
  return (offset, sectorCount) => {
    block.decrypt(offset, workOffset, sectorCount * sectorSizeBytes);
    functions.unchainCbc(offset, workOffset, ivsOffset, sectorCount, sectorSizeBytes, cipher.blockBytes);
  };
}

function chained(context: ModeContext, block: BlockCipher, chain: CbcChain): SectorMode {
  const { kernel, cipher } = context;
  const lastEncrypted = kernel.allocateKey(cipher.blockBytes);
  const lastDecrypted = kernel.allocateKey(cipher.blockBytes);
  const inColumns = encryptInColumns(context, block);
  const inChain = encryptInChain(context, chain, lastEncrypted);
  return {
    encrypt: (offset, sectorCount) =>
      sectorCount < chain.columnSectors ? inChain(offset, sectorCount) : inColumns(offset, sectorCount),
    decrypt: decryptInChain(context, chain, lastDecrypted),
    destroy: () => {
      block.destroy();
      chain.destroy();
      kernel.releaseKey(lastEncrypted, cipher.blockBytes);
      kernel.releaseKey(lastDecrypted, cipher.blockBytes);
    },
  };
}

function open(context: ModeContext): SectorMode | null {
  const { kernel, engine, cipher, key } = context;
  const block = engine.findBlockCipher(kernel, cipher, key);
  if (!block) return null;
  const chain = engine.findCbcChain(kernel, cipher, key);
  if (chain) return chained(context, block, chain);
  return {
    encrypt: encryptInColumns(context, block),
    decrypt: decryptBlocks(context, block),
    destroy: () => block.destroy(),
  };
}

export const cbc: ModeRow = {
  name: 'cbc',
  ivBytes: (cipher) => cipher.blockBytes,
  keySizesBytes: (cipher) => (cipher.blockBytes > 1 ? cipher.keySizesBytes : []),
  open,
};
