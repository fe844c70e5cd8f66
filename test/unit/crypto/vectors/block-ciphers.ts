/**
 * Vectors of the block ciphers themselves, as ECB: each cipher's own specification.
 */
import { fromHex, type SectorVector } from './sector-vector.js';

function vector(
  source: string,
  cipher: string,
  key: string,
  plaintext: string,
  ciphertext: string,
): SectorVector {
  return {
    source,
    spec: `${cipher}-ecb`,
    key: fromHex(key),
    ivSector: 0n,
    plaintext: fromHex(plaintext),
    ciphertext: fromHex(ciphertext),
  };
}

const NIST_PLAINTEXT =
  '6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51' +
  '30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710';
const UP_AND_DOWN = '0123456789abcdeffedcba9876543210';
const DOUBLED = '00112233445566778899aabbccddeeff';
const ZERO = '00'.repeat(16);
const ONE_BIT = `80${'00'.repeat(15)}`;
const COUNTING = '000102030405060708090a0b0c0d0e0f';

export const BLOCK_CIPHER_VECTORS: SectorVector[] = [
  vector(
    'NIST SP 800-38A, F.1.1',
    'aes',
    '2b7e151628aed2a6abf7158809cf4f3c',
    NIST_PLAINTEXT,
    '3ad77bb40d7a3660a89ecaf32466ef97 f5d3d58503b9699de785895a96fdbaaf' +
      '43b1cd7f598ece23881b00e3ed030688 7b0c785e27e8ad3f8223207104725dd4',
  ),
  vector(
    'NIST SP 800-38A, F.1.3',
    'aes',
    '8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b',
    NIST_PLAINTEXT,
    'bd334f1d6e45f25ff712a214571fa5cc 974104846d0ad3ad7734ecb3ecee4eef' +
      'ef7afd2270e2e60adce0ba2face6444e 9a4b41ba738d6c72fb16691603c18e0e',
  ),
  vector(
    'NIST SP 800-38A, F.1.5',
    'aes',
    '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
    NIST_PLAINTEXT,
    'f3eed1bdb5d2a03c064b5a7e3db181f8 591ccb10d410ed26dc5ba74a31362870' +
      'b6ed21b99ca6f4f9f153e7b1beafed1d 23304b7a39f9f3ff067d8d8f9e24ecc7',
  ),
  vector(
    'RFC 3713, Appendix A, 128-bit',
    'camellia',
    UP_AND_DOWN,
    UP_AND_DOWN,
    '67673138549669730857065648eabe43',
  ),
  vector(
    'RFC 3713, Appendix A, 192-bit',
    'camellia',
    `${UP_AND_DOWN}0011223344556677`,
    UP_AND_DOWN,
    'b4993401b3e996f84ee5cee7d79b09b9',
  ),
  vector(
    'RFC 3713, Appendix A, 256-bit',
    'camellia',
    UP_AND_DOWN + DOUBLED,
    UP_AND_DOWN,
    '9acc237dff16d76c20ef7c919e3a7509',
  ),
  vector('RFC 5794, Appendix A.1', 'aria', COUNTING, DOUBLED, 'd718fbd6ab644c739da95f3be6451778'),
  vector(
    'RFC 5794, Appendix A.2',
    'aria',
    `${COUNTING}1011121314151617`,
    DOUBLED,
    '26449c1805dbe7aa25a468ce263a9e79',
  ),
  vector(
    'RFC 5794, Appendix A.3',
    'aria',
    `${COUNTING}101112131415161718191a1b1c1d1e1f`,
    DOUBLED,
    'f92bd7c79fb72e2f2b8f80c1972d24fc',
  ),
  vector('GB/T 32907-2016, A.1', 'sm4', UP_AND_DOWN, UP_AND_DOWN, '681edf34d206965e86b3e94f536e4246'),
  vector(
    'RFC 2144, Appendix B.1, 128-bit',
    'cast5',
    '0123456712345678234567893456789a',
    '0123456789abcdef',
    '238b4fe5847e44b2',
  ),
  vector(
    'RFC 2144, Appendix B.1, 80-bit',
    'cast5',
    '01234567123456782345',
    '0123456789abcdef',
    'eb6a711a2c02271b',
  ),
  vector('RFC 2144, Appendix B.1, 40-bit', 'cast5', '0123456712', '0123456789abcdef', '7ac816d16e9b302e'),
  vector(
    "E. Young's Blowfish vectors (schneier.com), ECB",
    'blowfish',
    '0123456789abcdef',
    '1111111111111111',
    '61f9c3802281b096',
  ),
  vector(
    "E. Young's Blowfish vectors (schneier.com), set_key 16 bytes",
    'blowfish',
    'f0e1d2c3b4a5968778695a4b3c2d1e0f',
    'fedcba9876543210',
    '93142887ee3be15c',
  ),
  vector(
    'NIST SP 800-67, Appendix B.1',
    'des3_ede',
    '0123456789abcdef 23456789abcdef01 456789abcdef0123',
    '5468652071756663 6b2062726f776e20 666f78206a756d70',
    'a826fd8ce53b855f cce21c8112256fe6 68d5c05dd9b6b900',
  ),
  vector('NESSIE Serpent-128, set 1, vector 0', 'serpent', ONE_BIT, ZERO, '264e5481eff42a4606abda06c0bfda3d'),
  vector(
    'NESSIE Serpent-192, set 1, vector 0',
    'serpent',
    `${ONE_BIT}${'00'.repeat(8)}`,
    ZERO,
    '9e274ead9b737bb21efcfca548602689',
  ),
  vector(
    'NESSIE Serpent-256, set 1, vector 0',
    'serpent',
    ONE_BIT + ZERO,
    ZERO,
    'a223aa1288463c0e2be38ebd825616c0',
  ),
  vector(
    'Twofish submission, ecb_ival.txt, 128-bit',
    'twofish',
    ZERO,
    ZERO,
    '9f589f5cf6122c32b6bfec2f2ae8c35a',
  ),
  vector(
    'Twofish submission, ecb_ival.txt, 192-bit',
    'twofish',
    `${UP_AND_DOWN}0011223344556677`,
    ZERO,
    'cfd1d2e5a9be9cdf501f13b892bd2248',
  ),
  vector(
    'Twofish submission, ecb_ival.txt, 256-bit',
    'twofish',
    UP_AND_DOWN + DOUBLED,
    ZERO,
    '37527be0052334b89f0cfccae87cfa20',
  ),
  vector(
    'RFC 2612, Appendix A, 128-bit',
    'cast6',
    '2342bb9efa38542c0af75647f29f615d',
    ZERO,
    'c842a08972b43d20836c91d1b7530f6b',
  ),
  vector(
    'RFC 2612, Appendix A, 192-bit',
    'cast6',
    '2342bb9efa38542cbed0ac83940ac298bac77a7717942863',
    ZERO,
    '1b386c0210dcadcbdd0e41aa08a7a7e8',
  ),
  vector(
    'RFC 2612, Appendix A, 256-bit',
    'cast6',
    '2342bb9efa38542cbed0ac83940ac2988d7c47ce264908461cc1b5137ae6b604',
    ZERO,
    '4f6a2038286897b9c9870136553317fa',
  ),
];
