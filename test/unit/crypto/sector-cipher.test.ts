import crypto from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { allocateIoBuffer, releaseIoBuffer, requireKernel } from '../../../lib/crypto/kernel.js';
import { createSectorCipher, type EngineName, findEngines } from '../../../lib/crypto/sector-cipher.js';
import { LuksError } from '../../../lib/errors.js';
import { encryptNaively } from './reference.js';

const ENGINES: EngineName[] = findEngines('aes-xts-plain64', 512);
const SECTOR_SIZES = [512, 1024, 2048, 4096];

const SPECS: [spec: string, keyBytes: number][] = [
  ['aes-xts-plain64', 64],
  ['aes-xts-plain64', 32],
  ['aes-xts-plain', 64],
  ['aes-xts-essiv:sha256', 64],
  ['aes-cbc-plain', 16],
  ['aes-cbc-plain64', 24],
  ['aes-cbc-essiv:sha256', 32],
  ['aes-ctr-plain64', 32],
];

/** Sector numbers around the edges: 0, 2^32, 2^64, and anywhere. */
const ivSectors = fc.oneof(
  fc.bigInt(0n, 2000n),
  fc.bigInt(2n ** 32n - 300n, 2n ** 32n + 300n),
  fc.bigInt(2n ** 64n - 300n, 2n ** 64n - 1n),
  fc.bigInt(0n, 2n ** 64n - 1n),
);

t.test('the engines of the list', async (t) => {
  t.match(ENGINES, /openssl-ffi,node-crypto$/);
});

for (const [spec, keyBytes] of SPECS) {
  t.test(`${spec} with ${keyBytes * 8} bits is what node:crypto gives sector by sector`, async () => {
    const key = crypto.randomBytes(keyBytes);
    const io = allocateIoBuffer(270_000);
    for (const sectorSizeBytes of SECTOR_SIZES) {
      const ciphers = ENGINES.map((engine) => createSectorCipher(spec, key, sectorSizeBytes, { engine }));
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: 65 }),
          fc.integer({ min: 0, max: 100 }),
          fc.boolean(),
          ivSectors,
          (sectorCount, offset, isInKernel, ivSector) => {
            const plaintext = crypto.randomBytes(sectorCount * sectorSizeBytes);
            const expected = encryptNaively(spec, key, sectorSizeBytes, plaintext, ivSector);
            const room = isInKernel ? io : Buffer.alloc(270_000);
            for (const cipher of ciphers) {
              room.fill(0xa5, 0, plaintext.length + 300);
              const data = room.subarray(offset, offset + plaintext.length);
              data.set(plaintext);
              cipher.encryptInPlace(data, ivSector);
              if (!data.equals(expected)) return false;
              cipher.decryptInPlace(data, ivSector);
              if (!data.equals(plaintext)) return false;
              // Nothing beside the data may change.
              const around = [
                room.subarray(0, offset),
                room.subarray(offset + data.length, offset + data.length + 100),
              ];
              if (around.some((bytes) => bytes.some((byte) => byte !== 0xa5))) return false;
            }
            return true;
          },
        ),
        { numRuns: 25 },
      );
      for (const cipher of ciphers) cipher.destroy();
    }
    releaseIoBuffer(io);
  });
}

t.test('XTS with two equal halves works, at every sector size and engine', async (t) => {
  const key = Buffer.alloc(64, 7);
  for (const sectorSizeBytes of SECTOR_SIZES) {
    const results = ENGINES.map((engine) => {
      const cipher = createSectorCipher('aes-xts-plain64', key, sectorSizeBytes, { engine });
      const data = Buffer.alloc(sectorSizeBytes * 3);
      cipher.encryptInPlace(data, 5n);
      const encrypted = Buffer.from(data);
      cipher.decryptInPlace(data, 5n);
      t.same(data, Buffer.alloc(sectorSizeBytes * 3));
      cipher.destroy();
      return encrypted;
    });
    for (const result of results) t.same(result, results[0]);
  }
});

t.test('a key may be wiped once the cipher is made', async (t) => {
  const key = crypto.randomBytes(64);
  const data = Buffer.alloc(8192);
  const expected = encryptNaively('aes-xts-plain64', key, 512, data, 9n);
  const ciphers = ENGINES.map((engine) => createSectorCipher('aes-xts-plain64', key, 512, { engine }));
  key.fill(0);
  for (const cipher of ciphers) {
    data.fill(0);
    cipher.encryptInPlace(data, 9n);
    t.same(data, expected);
    cipher.destroy();
  }
});

t.test('nothing stays of what was turned in a copy: it may be the material of a key', async (t) => {
  const { bytes, chunkOffset, ivsOffset } = requireKernel();
  for (const spec of ['aes-xts-plain64', 'aes-cbc-plain64', 'serpent-xts-plain64']) {
    const keyBits = spec.includes('cbc') ? 256 : 512;
    for (const engine of findEngines(spec, keyBits)) {
      const cipher = createSectorCipher(spec, crypto.randomBytes(keyBits / 8), 512, { engine });
      cipher.decryptInPlace(crypto.randomBytes(40960), 1n);
      cipher.encryptInPlace(crypto.randomBytes(512), 1n);
      cipher.destroy();
      const left = bytes.subarray(chunkOffset, ivsOffset).findIndex((byte) => byte !== 0);
      t.equal(left, -1, `${spec} over ${engine}`);
    }
  }
});

t.test('what cannot be is refused', async (t) => {
  const key = Buffer.alloc(64);
  const unsupported = (pattern: RegExp) => ({ code: 'UNSUPPORTED', message: pattern });
  t.throws(
    () => createSectorCipher('aes-xts-plain64', Buffer.alloc(40), 512),
    unsupported(/256, 384, 512 bits, not 320/),
  );
  t.throws(() => createSectorCipher('aes-xts-plain64', key, 8192), unsupported(/8192/));
  t.throws(() => createSectorCipher('aes-xts-plain64', key, 256), unsupported(/256/));
  t.throws(() => createSectorCipher('aes-xts-plain64', key, 1536), unsupported(/1536/));
  t.throws(() => createSectorCipher('aes-cbc-essiv:sha1', Buffer.alloc(32), 512), unsupported(/160 bits/));

  const cipher = createSectorCipher('aes-xts-plain64', key, 512);
  t.throws(() => cipher.encryptInPlace(Buffer.alloc(513), 0n), { code: 'BAD_ARGUMENT' });
  cipher.encryptInPlace(Buffer.alloc(0), 0n);
  cipher.destroy();
  cipher.destroy();
  t.throws(() => cipher.encryptInPlace(Buffer.alloc(512), 0n), LuksError);
});

t.test('the null cipher is made only where it is allowed', async (t) => {
  t.throws(() => createSectorCipher('cipher_null-ecb', Buffer.alloc(32), 512), {
    code: 'UNSUPPORTED',
    message: /not encrypted/,
  });
  const cipher = createSectorCipher('cipher_null-ecb', Buffer.alloc(32), 512, { allowNullCipher: true });
  t.equal(cipher.engine, 'none');
  const data = Buffer.alloc(1024, 3);
  cipher.encryptInPlace(data, 0n);
  cipher.decryptInPlace(data, 0n);
  t.same(data, Buffer.alloc(1024, 3));
  t.throws(() => cipher.encryptInPlace(Buffer.alloc(100), 0n), { code: 'BAD_ARGUMENT' });
  cipher.destroy();
});
