/**
 * LUKS1 volumes that cryptsetup made and filled, in every shape: ciphers, detached and attached, with and without
 * an offset.
 */
import t from 'tap';
import { checkBothWays, titleOf } from '../kit/both-ways.js';
import { AES_CIPHERS, type PairOptions } from '../kit/cryptsetup.js';
import { skipUnless } from '../kit/requirements.js';

const MiB = 1024 * 1024;

const ROWS: PairOptions[] = [
  ...AES_CIPHERS.map((row) => ({ type: 'luks1', ...row }) as const),
  { type: 'luks1', offsetBytes: 2 * MiB },
  { type: 'luks1', isAttached: true },
  { type: 'luks1', isAttached: true, cipher: 'aes-cbc-essiv:sha256', keySizeBits: 256 },
];

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

for (const row of ROWS) {
  t.test(titleOf(row), { skip }, (t) => checkBothWays(t, row));
}
