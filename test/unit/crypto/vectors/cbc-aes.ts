/**
 * CBC-AES vectors of NIST SP 800-38A, F.2. Their IV is no sector number, so it is XORed into the first block of
 * plaintext, which is what CBC does with it, and the sector's own IV is sector 0's: zero.
 */
import { fromHex, type SectorVector } from './sector-vector.js';

const IV = fromHex('000102030405060708090a0b0c0d0e0f');
const PLAINTEXT = fromHex(
  '6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51' +
    '30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710',
);

function vector(section: string, key: string, ciphertext: string): SectorVector {
  const plaintext = Buffer.from(PLAINTEXT);
  for (const [index, byte] of IV.entries()) plaintext[index]! ^= byte;
  return {
    source: `NIST SP 800-38A, ${section}`,
    spec: 'aes-cbc-plain64',
    key: fromHex(key),
    ivSector: 0n,
    plaintext,
    ciphertext: fromHex(ciphertext),
  };
}

export const CBC_AES_VECTORS: SectorVector[] = [
  vector(
    'F.2.1',
    '2b7e151628aed2a6abf7158809cf4f3c',
    '7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2' +
      '73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7',
  ),
  vector(
    'F.2.3',
    '8e73b0f7da0e6452c810f32b809079e5 62f8ead2522c6b7b',
    '4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a' +
      '571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd',
  ),
  vector(
    'F.2.5',
    '603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4',
    'f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d' +
      '39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b',
  ),
];
