/**
 * LUKS2 volumes that cryptsetup made and filled, in every shape: ciphers, KDFs, sector sizes, detached and attached,
 * with and without an offset.
 */
import t from 'tap';
import { checkBothWays, titleOf } from '../kit/both-ways.js';
import { AES_CIPHERS, type PairOptions } from '../kit/cryptsetup.js';
import { skipUnless } from '../kit/requirements.js';

const MiB = 1024 * 1024;

const ROWS: PairOptions[] = [
  ...AES_CIPHERS.map((row) => ({ type: 'luks2', sectorSizeBytes: 512, ...row }) as const),
  ...AES_CIPHERS.map((row) => ({ type: 'luks2', sectorSizeBytes: 4096, ...row }) as const),
  { type: 'luks2', sectorSizeBytes: 1024 },
  { type: 'luks2', sectorSizeBytes: 512, pbkdf: 'argon2id' },
  { type: 'luks2', sectorSizeBytes: 4096, pbkdf: 'argon2id' },
  { type: 'luks2', sectorSizeBytes: 4096, pbkdf: 'argon2i' },
  { type: 'luks2', offsetBytes: 2 * MiB },
  { type: 'luks2', offsetBytes: 2 * MiB, sectorSizeBytes: 4096 },
  { type: 'luks2', isAttached: true },
  { type: 'luks2', isAttached: true, sectorSizeBytes: 4096, pbkdf: 'argon2id' },
];

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

for (const row of ROWS) {
  t.test(titleOf(row), { skip }, (t) => checkBothWays(t, row));
}
