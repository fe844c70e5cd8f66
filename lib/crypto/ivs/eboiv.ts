/**
 * The encrypted byte offset (dm-crypt's `eboiv`, made for BitLocker): the sector number times the sector size,
 * little-endian, run through the cipher with the data's own key. It is the same as a CBC of one zero block, so
 * it goes with CBC alone.
 */
import type { IvContext, IvGenerator, IvRow } from './iv.js';

function open({ kernel, engine, cipher, key, ivBytes, sectorSizeBytes }: IvContext): IvGenerator | null {
  const block = engine.findBlockCipher(kernel, cipher, key);
  // crypt_iv_eboiv_gen multiplies the number in 512-byte units by the sector size, also where that is 4096.
  const scale = BigInt(sectorSizeBytes);
  return (
    block && {
      fill: (target, count, first, step) => {
        kernel.functions.fillPlain64(target, count, ivBytes, first * scale, step * scale);
        block.encrypt(target, target, count * ivBytes);
      },
      destroy: () => block.destroy(),
    }
  );
}

export const eboiv: IvRow = { name: 'eboiv', takesHash: false, onlyMode: 'cbc', open };
