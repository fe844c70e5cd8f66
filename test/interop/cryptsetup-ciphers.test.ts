/**
 * The ciphers beside the usual ones that cryptsetup can use without the kernel, in volumes that it made and filled.
 */
import t from 'tap';
import { checkBothWays, titleOf } from '../kit/both-ways.js';
import type { PairOptions } from '../kit/cryptsetup.js';
import { skipUnless } from '../kit/requirements.js';

const ROWS: PairOptions[] = [
  { type: 'luks1', cipher: 'aes-ctr-plain64', keySizeBits: 256 },
  { type: 'luks1', cipher: 'aes-ecb', keySizeBits: 256, isAttached: true },
  { type: 'luks1', cipher: 'aes-cbc-null', keySizeBits: 128 },
  { type: 'luks1', cipher: 'camellia-cbc-plain64', keySizeBits: 256 },
  { type: 'luks2', cipher: 'aes-cbc-benbi', keySizeBits: 256 },
  { type: 'luks2', cipher: 'aes-cbc-plain64be', keySizeBits: 192, isAttached: true },
  { type: 'luks2', cipher: 'aes-cbc-eboiv', keySizeBits: 256 },
  { type: 'luks2', cipher: 'aes-cbc-eboiv', keySizeBits: 256, sectorSizeBytes: 4096 },
  { type: 'luks2', cipher: 'aes-xts-plain64be', keySizeBits: 512, sectorSizeBytes: 2048 },
  { type: 'luks2', cipher: 'aes-ctr-plain64', keySizeBits: 256, sectorSizeBytes: 4096 },
  { type: 'luks2', cipher: 'camellia-cbc-essiv:sha256', keySizeBits: 256 },
  {
    type: 'luks2',
    cipher: 'camellia-cbc-plain64',
    keySizeBits: 128,
    sectorSizeBytes: 4096,
    isAttached: true,
  },
];

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });

for (const row of ROWS) {
  t.test(titleOf(row), { skip }, (t) => checkBothWays(t, row));
}
