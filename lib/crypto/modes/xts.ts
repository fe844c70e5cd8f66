/**
 * XTS (IEEE 1619-2007). The key is two keys of the block cipher: the first for the data, the second for the
 * tweaks. Two equal halves are accepted, as the kernel accepts them for reading.
 *
 * Small sectors: all tweaks of a chunk in one call of the cipher, the mask over the chunk, the whole chunk in
 * one call, the mask again, which was kept. Large sectors: one call of the engine's own XTS a sector, where it has one.
 */
import type { BlockCipher, MaskedBlocks, XtsSector } from '../engines/engine.js';
import type { Kernel } from '../kernel.js';
import type { KernelFunctions } from '../kernel-functions.js';
import type { ModeContext, ModeRow, SectorMode } from './mode.js';

const BLOCK_BYTES = 16;
/** From here on a call a sector costs less than two passes of the mask (measured: test/bench/ciphers.ts). */
const LARGE_SECTOR_BYTES = 4096;

type Direction = 'encryptInPlace' | 'decryptInPlace';

/** The engine's own way to mask what its block cipher gives, or one after the other. */
function findMaskedBlocks({ kernel, engine, cipher }: ModeContext, key: Uint8Array): MaskedBlocks | null {
  const own = engine.findMaskedBlocks(kernel, cipher, key);
  if (own) return own;
  const block = engine.findBlockCipher(kernel, cipher, key);
  if (!block) return null;
  const { functions } = kernel;
  return {
    encryptInPlace: (offset, masks, length) => {
      block.encrypt(offset, offset, length);
      functions.unmaskXts(offset, masks, length);
    },
    decryptInPlace: (offset, masks, length) => {
      block.decrypt(offset, offset, length);
      functions.unmaskXts(offset, masks, length);
    },
    destroy: () => block.destroy(),
  };
}

type MaskSectors = KernelFunctions['maskXts'];

function masked(
  { kernel, sectorSizeBytes }: ModeContext,
  data: MaskedBlocks,
  tweak: BlockCipher,
  maskSectors: MaskSectors,
): SectorMode {
  const { ivsOffset, workOffset } = kernel;
  const mask = (offset: number, sectorCount: number) => {
    tweak.encrypt(ivsOffset, ivsOffset, sectorCount * BLOCK_BYTES);
    maskSectors(offset, workOffset, ivsOffset, sectorCount, sectorSizeBytes);
  };
  return {
    encrypt: (offset, sectorCount) => {
      mask(offset, sectorCount);
      data.encryptInPlace(offset, workOffset, sectorCount * sectorSizeBytes);
    },
    decrypt: (offset, sectorCount) => {
      mask(offset, sectorCount);
      data.decryptInPlace(offset, workOffset, sectorCount * sectorSizeBytes);
    },
    destroy: () => {
      data.destroy();
      tweak.destroy();
    },
  };
}

function sectorBySector(kernel: Kernel, xts: XtsSector, sectorSizeBytes: number): SectorMode {
  const turn = (direction: Direction, offset: number, sectorCount: number) => {
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

function openMasked(context: ModeContext, maskSectors: MaskSectors): SectorMode | null {
  const { kernel, engine, cipher, key } = context;
  const half = key.length / 2;
  const data = findMaskedBlocks(context, key.subarray(0, half));
  const tweak = data && engine.findBlockCipher(kernel, cipher, key.subarray(half));
  if (data && tweak) return masked(context, data, tweak, maskSectors);
  data?.destroy();
  return null;
}

function open(context: ModeContext): SectorMode | null {
  const { kernel, engine, cipher, key, sectorSizeBytes } = context;
  if (sectorSizeBytes >= LARGE_SECTOR_BYTES) {
    const xts = engine.findXtsSector(kernel, cipher, key);
    if (xts) return sectorBySector(kernel, xts, sectorSizeBytes);
  }
  return openMasked(context, kernel.functions.maskXts);
}

export const xts: ModeRow = {
  name: 'xts',
  ivBytes: () => BLOCK_BYTES,
  keySizesBytes: (cipher) =>
    cipher.blockBytes === BLOCK_BYTES ? cipher.keySizesBytes.map((bytes) => bytes * 2) : [],
  open,
};

/** The tweaks of GB/T 17964: each is the one before shifted as GHASH does it, most significant bit first. */
function maskSectorsGb({ bytes }: Kernel): MaskSectors {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return (data, masks, tweaks, sectorCount, sectorBytes) => {
    for (let block = 0; block < (sectorCount * sectorBytes) / BLOCK_BYTES; block += 1) {
      const at = block * BLOCK_BYTES;
      const isFirst = at % sectorBytes === 0;
      const from = isFirst ? tweaks + (at / sectorBytes) * BLOCK_BYTES : masks + at - BLOCK_BYTES;
      let carry = !isFirst && words.getUint8(from + BLOCK_BYTES - 1) & 1 ? 0xe100_0000 : 0;
      for (let word = 0; word < BLOCK_BYTES; word += 4) {
        const old = words.getUint32(from + word);
        const mask = isFirst ? old : (old >>> 1) ^ carry;
        carry = old << 31;
        words.setUint32(masks + at + word, mask);
        words.setUint32(data + at + word, words.getUint32(data + at + word) ^ mask);
      }
    }
  };
}

/**
 * What OpenSSL from 3.2 on means by SM4-XTS (GB/T 17964-2021), and luksfuse once wrote by it (CHANGELOG.md). To read that
 * again: no header names it.
 */
export const xtsgb: ModeRow = {
  name: 'xtsgb',
  ivBytes: xts.ivBytes,
  keySizesBytes: (cipher) => (cipher.name === 'sm4' ? xts.keySizesBytes(cipher) : []),
  open: (context) => openMasked(context, maskSectorsGb(context.kernel)),
};
