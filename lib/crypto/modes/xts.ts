/**
 * XTS (IEEE 1619-2007). The key is two keys of the block cipher: the first for the data, the second for the
 * tweaks. Two equal halves are accepted, as the kernel accepts them for reading.
 *
 * Small sectors: all tweaks of a chunk in one call of the cipher, the mask over the chunk, the whole chunk in
 * one call, the mask again, which was kept. Large sectors: one call of the engine's own XTS a sector, where it has one.
 */
import type { BlockCipher, XtsSector } from '../engines/engine.js';
import type { Kernel } from '../kernel.js';
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

const BLOCK_BYTES = 16;
/** From here on a call a sector costs less than two passes of the mask (measured: test/bench/ciphers.ts). */
const LARGE_SECTOR_BYTES = 4096;

function masked(kernel: Kernel, data: BlockCipher, tweak: BlockCipher, sectorSizeBytes: number): SectorMode {
  const { functions, ivsOffset, workOffset } = kernel;
  const turn = (direction: 'encrypt' | 'decrypt', offset: number, sectorCount: number) => {
    tweak.encrypt(ivsOffset, ivsOffset, sectorCount * BLOCK_BYTES);
    const lengthBytes = sectorCount * sectorSizeBytes;
    functions.maskXts(offset, workOffset, ivsOffset, sectorCount, sectorSizeBytes);
    data[direction](offset, offset, lengthBytes);
    functions.unmaskXts(offset, workOffset, lengthBytes);
  };
  return {
    encrypt: (offset, sectorCount) => turn('encrypt', offset, sectorCount),
    decrypt: (offset, sectorCount) => turn('decrypt', offset, sectorCount),
    destroy: () => {
      data.destroy();
      tweak.destroy();
    },
  };
}

function sectorBySector(kernel: Kernel, xts: XtsSector, sectorSizeBytes: number): SectorMode {
  const turn = (direction: 'encryptInPlace' | 'decryptInPlace', offset: number, sectorCount: number) => {
    for (let sector = 0; sector < sectorCount; sector += 1) {
      const ivOffset = kernel.ivsOffset + sector * BLOCK_BYTES;
      xts[direction](offset + sector * sectorSizeBytes, sectorSizeBytes, ivOffset);
    }
  };
  return {
    encrypt: (offset, sectorCount) => turn('encryptInPlace', offset, sectorCount),
    decrypt: (offset, sectorCount) => turn('decryptInPlace', offset, sectorCount),
    destroy: () => xts.destroy(),
  };
}

function open({ kernel, engine, cipher, key, sectorSizeBytes }: ModeContext): SectorMode | null {
  if (sectorSizeBytes >= LARGE_SECTOR_BYTES) {
    const xts = engine.findXtsSector(kernel, cipher, key);
    if (xts) return sectorBySector(kernel, xts, sectorSizeBytes);
  }
  const half = key.length / 2;
  const data = engine.findBlockCipher(kernel, cipher, key.subarray(0, half));
  const tweak = data && engine.findBlockCipher(kernel, cipher, key.subarray(half));
  if (data && tweak) return masked(kernel, data, tweak, sectorSizeBytes);
  data?.destroy();
  return null;
}

export const xts: ModeRow = {
  name: 'xts',
  ivBytes: () => BLOCK_BYTES,
  keySizesBytes: (cipher) =>
    cipher.blockBytes === BLOCK_BYTES ? cipher.keySizesBytes.map((bytes) => bytes * 2) : [],
  open,
};
