/** The table that engines are held to is what the naive reference makes of the known sectors. */
import t from 'tap';
import { CIPHERS, type CipherRow, NULL_CIPHER } from '../../../lib/crypto/ciphers.js';
import { digestSectors, knownSectors } from '../../../lib/crypto/engine-check.js';
import { KNOWN_SECTORS } from '../../../lib/crypto/known-sectors.js';
import type { ModeRow } from '../../../lib/crypto/modes/mode.js';
import { xtsgb } from '../../../lib/crypto/modes/xts.js';
import { MODES } from '../../../lib/crypto/modes.js';
import { encryptSectors } from './reference.js';

function digestOf(cipher: CipherRow, mode: ModeRow, keyBytes: number, sectorSizeBytes: number): string {
  const { plaintext, ivs, keys } = knownSectors(keyBytes);
  // A mode without IVs has blocks that know no other.
  const ivBytes = mode.ivBytes(cipher);
  const ivOfSector = (index: number) =>
    ivBytes === 0 ? Buffer.alloc(cipher.blockBytes) : ivs.subarray(index * ivBytes, (index + 1) * ivBytes);
  return digestSectors(
    keys.map((key) => encryptSectors(cipher.name, mode.name, key, sectorSizeBytes, plaintext, ivOfSector)),
  );
}

/** The reference is slow, and Blowfish and CAST5 have many key sizes: some have to do; `ALL_SECTORS=1` compares all. */
function isCompared(mode: ModeRow, row: number, column: number): boolean {
  if (process.env.ALL_SECTORS === '1') return true;
  return (mode.name === 'ecb' || (row + column) % 2 === 1) && (row < 5 || row % 17 === 0);
}

/** The row as it should be, with what is not compared taken from the table. */
function rowOf(cipher: CipherRow, mode: ModeRow, tabled: readonly string[]): string {
  const sectorSizes = mode.name === 'ecb' ? [512] : [512, 1024, 2048, 4096];
  return mode
    .keySizesBytes(cipher)
    .flatMap((keyBytes, row) =>
      sectorSizes.map((size, column) =>
        isCompared(mode, row, column)
          ? digestOf(cipher, mode, keyBytes, size)
          : tabled[row * sectorSizes.length + column],
      ),
    )
    .join(' ');
}

const names: string[] = [];
for (const cipher of CIPHERS.filter(({ name }) => name !== NULL_CIPHER)) {
  for (const mode of [...MODES, xtsgb].filter((row) => row.keySizesBytes(cipher).length > 0)) {
    const name = `${cipher.name}-${mode.name}`;
    names.push(name);
    t.test(name, async (t) => {
      const row = KNOWN_SECTORS[name] ?? '';
      t.equal(row, rowOf(cipher, mode, row.split(' ')));
    });
  }
}

t.strictSame(
  Object.keys(KNOWN_SECTORS).sort(),
  names.sort(),
  'every cipher and mode has its row, and no other',
);
