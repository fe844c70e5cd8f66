/** Adiantum and HCTR2 against their authors' vectors, and whole sectors against the naive reference. */
import crypto from 'node:crypto';
import t from 'tap';
import { findCipher } from '../../../lib/crypto/ciphers.js';
import { gcryptEngine } from '../../../lib/crypto/engines/gcrypt.js';
import { nodeEngine } from '../../../lib/crypto/engines/node.js';
import { opensslEngine } from '../../../lib/crypto/engines/openssl.js';
import { requireKernel } from '../../../lib/crypto/kernel.js';
import { findMode } from '../../../lib/crypto/modes.js';
import { createSectorCipher, findEngines } from '../../../lib/crypto/sector-cipher.js';
import { WIDE_BLOCK_VECTORS } from './vectors/wide-block.js';
import { encryptAdiantum, encryptHctr2 } from './wide-reference.js';

const kernel = requireKernel();
const engines = findEngines('aes-hctr2-plain64', 256);
t.ok(engines.length > 0, 'an engine has them');

for (const vector of WIDE_BLOCK_VECTORS) {
  for (const engine of [gcryptEngine, opensslEngine, nodeEngine]) {
    const skip = engines.includes(engine.name) ? false : 'not on this machine';
    t.test(`${vector.source} over ${engine.name}`, { skip }, async (t) => {
      const sectorSizeBytes = vector.plaintext.length;
      const cipher = findCipher(vector.cipher)!;
      const mode = findMode(vector.mode)!.open({ kernel, engine, cipher, key: vector.key, sectorSizeBytes })!;
      const offset = kernel.chunkOffset;
      const data = kernel.bytes.subarray(offset, offset + sectorSizeBytes);
      data.set(vector.plaintext);
      kernel.bytes.set(vector.tweak, kernel.ivsOffset);
      mode.encrypt(offset, 1);
      t.same(data, vector.ciphertext);
      kernel.bytes.set(vector.tweak, kernel.ivsOffset);
      mode.decrypt(offset, 1);
      t.same(data, vector.plaintext);
      mode.destroy();
    });
  }
}

const SPECS: [spec: string, keyBits: number, encrypt: typeof encryptHctr2][] = [
  ['xchacha12,aes-adiantum-plain64', 256, (key, tweak, sector) => encryptAdiantum(key, tweak, sector, 12)],
  ['xchacha20,aes-adiantum-plain64', 256, (key, tweak, sector) => encryptAdiantum(key, tweak, sector, 20)],
  ['aes-hctr2-plain64', 128, encryptHctr2],
  ['aes-hctr2-plain64', 192, encryptHctr2],
  ['aes-hctr2-plain64', 256, encryptHctr2],
];

for (const [spec, keyBits, encrypt] of SPECS) {
  t.test(`${spec} with ${keyBits} bits is what the paper says`, async (t) => {
    const key = crypto.randomBytes(keyBits / 8);
    for (const sectorSizeBytes of [512, 1024, 2048, 4096]) {
      const ivSector = crypto.randomBytes(8).readBigUInt64LE();
      const plaintext = crypto.randomBytes(sectorSizeBytes * 3);
      const expected = [0, 1, 2].map((index) => {
        const tweak = Buffer.alloc(32);
        tweak.writeBigUInt64LE(BigInt.asUintN(64, ivSector + BigInt((index * sectorSizeBytes) / 512)));
        return encrypt(
          key,
          tweak,
          plaintext.subarray(index * sectorSizeBytes, (index + 1) * sectorSizeBytes),
        );
      });
      for (const engine of findEngines(spec, keyBits)) {
        const cipher = createSectorCipher(spec, key, sectorSizeBytes, { engine });
        const data = Buffer.from(plaintext);
        cipher.encryptInPlace(data, ivSector);
        t.ok(data.equals(Buffer.concat(expected)), `sector ${sectorSizeBytes}, ${engine}`);
        cipher.decryptInPlace(data, ivSector);
        t.ok(data.equals(plaintext));
        cipher.destroy();
      }
    }
  });
}

t.test('a long run of sectors comes back, chunk by chunk', async (t) => {
  for (const [spec, keyBits] of SPECS) {
    const cipher = createSectorCipher(spec, crypto.randomBytes(keyBits / 8), 512);
    const plaintext = crypto.randomBytes(200 * 512);
    const data = Buffer.from(plaintext);
    cipher.encryptInPlace(data, 7n);
    const alone = Buffer.from(plaintext.subarray(150 * 512, 151 * 512));
    cipher.encryptInPlace(alone, 157n);
    t.ok(alone.equals(data.subarray(150 * 512, 151 * 512)));
    cipher.decryptInPlace(data, 7n);
    t.ok(data.equals(plaintext));
    cipher.destroy();
  }
});
