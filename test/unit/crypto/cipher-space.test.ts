/**
 * The whole space of cipher, mode, IV generator and sector size over every engine of this machine: they all give what the
 * naive reference gives, and none is found to be wrong.
 */
import crypto from 'node:crypto';
import t, { type Test } from 'tap';
import { keySizesBits, parseCipherSpec } from '../../../lib/crypto/cipher-spec.js';
import { CIPHERS, NULL_CIPHER } from '../../../lib/crypto/ciphers.js';
import { gcryptEngine } from '../../../lib/crypto/engines/gcrypt.js';
import { nodeEngine } from '../../../lib/crypto/engines/node.js';
import { opensslEngine } from '../../../lib/crypto/engines/openssl.js';
import { wasmEngine } from '../../../lib/crypto/engines/wasm.js';
import { IVS } from '../../../lib/crypto/ivs.js';
import { MODES } from '../../../lib/crypto/modes.js';
import { createSectorCipher, findEngines } from '../../../lib/crypto/sector-cipher.js';
import { encryptNaively } from './reference.js';
import { judgeAll, SECTOR_SIZES } from './verdicts.js';

/** A spec and a key size that go together, or null. */
function combine(cipher: string, mode: string, iv: string): { spec: string; keyBytes: number } | null {
  // essiv needs a hash of the size of one of the cipher's keys.
  const spec = `${cipher}-${mode}-${iv === 'essiv' ? 'essiv:sha256' : iv}`;
  try {
    const sizes = keySizesBits(parseCipherSpec(spec));
    const keyBytes = sizes[crypto.randomInt(sizes.length)]! / 8;
    createSectorCipher(spec, crypto.randomBytes(keyBytes), 512).destroy();
    return { spec, keyBytes };
  } catch {
    return null;
  }
}

const IV_SECTORS = [0n, 1n, 2n ** 32n - 1n, 2n ** 40n + 12345n, 2n ** 64n - 1n];
/** So many 512-byte sectors: on both sides of where modes and engines change their way. */
const LENGTHS = [8, 16, 40, 72];

function check(t: Test, spec: string, keyBytes: number): void {
  const key = crypto.randomBytes(keyBytes);
  const engines = findEngines(spec, keyBytes * 8);
  for (const sectorSizeBytes of SECTOR_SIZES) {
    const ivSector = IV_SECTORS[crypto.randomInt(IV_SECTORS.length)]!;
    const plaintext = crypto.randomBytes(512 * LENGTHS[crypto.randomInt(LENGTHS.length)]!);
    const expected = encryptNaively(spec, key, sectorSizeBytes, plaintext, ivSector);
    for (const engine of engines) {
      const cipher = createSectorCipher(spec, key, sectorSizeBytes, { engine });
      const data = Buffer.from(plaintext);
      cipher.encryptInPlace(data, ivSector);
      t.ok(
        data.equals(expected),
        `${spec}, key ${keyBytes}, sector ${sectorSizeBytes}, ${plaintext.length} bytes, ${engine}, IV ${ivSector}`,
      );
      cipher.decryptInPlace(data, ivSector);
      t.ok(data.equals(plaintext));
      cipher.destroy();
    }
  }
}

for (const { name: cipher } of CIPHERS.filter((row) => row.name !== NULL_CIPHER && row.blockBytes > 1)) {
  for (const { name: mode } of MODES.filter((row) => !['adiantum', 'hctr2'].includes(row.name))) {
    t.test(`${cipher}-${mode}`, async (t) => {
      const specs = IVS.map((iv) => combine(cipher, mode, iv.name)).filter((made) => made !== null);
      for (const { spec, keyBytes } of specs) check(t, spec, keyBytes);
      const blockBytes = CIPHERS.find((row) => row.name === cipher)!.blockBytes;
      t.equal(specs.length > 0, blockBytes === 16 || !['xts', 'lrw'].includes(mode));
    });
  }
}

for (const engine of [gcryptEngine, opensslEngine, nodeEngine, wasmEngine]) {
  t.test(`${engine.name} is right in all that it has`, async (t) => {
    const { right, wrong } = judgeAll(engine);
    t.strictSame(wrong, []);
    t.comment(`${right.length} uses`);
  });
}
