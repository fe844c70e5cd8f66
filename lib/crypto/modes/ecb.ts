/**
 * ECB (NIST SP 800-38A, 6.1): every block by itself. Equal blocks stay equal, so nobody should make such a
 * volume; they are read because they exist.
 */
import type { ModeRow } from './mode.js';

export const ecb: ModeRow = {
  name: 'ecb',
  ivBytes: () => 0,
  keySizesBytes: (cipher) => (cipher.blockBytes > 1 ? cipher.keySizesBytes : []),
  open: ({ kernel, engine, cipher, key, sectorSizeBytes }) => {
    const block = engine.findBlockCipher(kernel, cipher, key);
    return (
      block && {
        encrypt: (offset, sectorCount) => block.encrypt(offset, offset, sectorCount * sectorSizeBytes),
        decrypt: (offset, sectorCount) => block.decrypt(offset, offset, sectorCount * sectorSizeBytes),
        destroy: () => block.destroy(),
      }
    );
  },
};
