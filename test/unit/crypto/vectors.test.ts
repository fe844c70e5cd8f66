/** Every known-answer vector over every engine that has the cipher, at every sector size it fits. */
import t from 'tap';
import { allocateIoBuffer, releaseIoBuffer } from '../../../lib/crypto/kernel.js';
import { createSectorCipher, findEngines } from '../../../lib/crypto/sector-cipher.js';
import { BLOCK_CIPHER_VECTORS } from './vectors/block-ciphers.js';
import { CBC_AES_VECTORS } from './vectors/cbc-aes.js';
import { LRW_AES_VECTORS } from './vectors/lrw-aes.js';
import { XTS_AES_VECTORS } from './vectors/xts-aes.js';

for (const vector of [...BLOCK_CIPHER_VECTORS, ...XTS_AES_VECTORS, ...CBC_AES_VECTORS, ...LRW_AES_VECTORS]) {
  const engines = findEngines(vector.spec, vector.key.length * 8);
  t.ok(engines.length > 0, `an engine has ${vector.spec}`);
  for (const engine of engines) {
    t.test(`${vector.source} (${vector.spec}) over ${engine}`, async (t) => {
      for (const sectorSizeBytes of [512, 1024, 2048, 4096]) {
        const cipher = createSectorCipher(vector.spec, vector.key, sectorSizeBytes, { engine });
        t.equal(cipher.engine, engine);
        for (const sector of [Buffer.alloc(sectorSizeBytes), allocateIoBuffer(sectorSizeBytes).fill(0)]) {
          sector.set(vector.plaintext);
          cipher.encryptInPlace(sector, vector.ivSector);
          t.same(sector.subarray(0, vector.ciphertext.length), vector.ciphertext);
          sector.fill(0).set(vector.ciphertext);
          cipher.decryptInPlace(sector, vector.ivSector);
          t.same(sector.subarray(0, vector.plaintext.length), vector.plaintext);
          releaseIoBuffer(sector);
        }
        cipher.destroy();
      }
    });
  }
}
