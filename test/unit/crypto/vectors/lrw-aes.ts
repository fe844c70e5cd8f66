/**
 * LRW-AES vectors of the IEEE P1619 drafts that are of block number 1, which is where sector 0 begins.
 */
import { fromHex, type SectorVector } from './sector-vector.js';

function vector(key: string, ciphertext: string): SectorVector {
  return {
    source: 'IEEE P1619 drafts, LRW-AES, block 1',
    spec: 'aes-lrw-benbi',
    key: fromHex(key),
    ivSector: 0n,
    plaintext: fromHex('30313233343536373839414243444546'),
    ciphertext: fromHex(ciphertext),
  };
}

export const LRW_AES_VECTORS: SectorVector[] = [
  vector(
    '4562ac25f828176d4c268414b5680185 258e2a05e73e9d03ee5a830ccc094c87',
    'f1b273cd65a3df5fe95d489254634eb8',
  ),
  vector(
    'f8d476ffd646ee6c2384cb1c77d6195dfef1a9f37bbc8d21a79c21f8cb900289 a845348ec8c5b5f126f50e76fefd1b1e',
    'bd06b8e1db98899ec498e491cf1c702b',
  ),
];
