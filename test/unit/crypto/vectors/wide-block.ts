/**
 * Vectors of the wide-block modes, with tweaks that are no sector numbers, for the modes alone. From the authors'
 * test_vectors/ours: github.com/google/adiantum (MIT license) and github.com/google/hctr2 (MIT license).
 */
import { fromHex } from './sector-vector.js';

export interface WideBlockVector {
  source: string;
  cipher: string;
  mode: string;
  key: Buffer;
  tweak: Buffer;
  plaintext: Buffer;
  ciphertext: Buffer;
}

export const WIDE_BLOCK_VECTORS: WideBlockVector[] = [
  {
    source: 'google/adiantum, Adiantum_XChaCha12_32_AES256.json, 128 bytes, tweak 32, Random (1)',
    cipher: 'xchacha12,aes',
    mode: 'adiantum',
    key: fromHex('f49c832e65ef9646e31877d147b82b11c00355f18678cf7965bdd80896282eba'),
    tweak: fromHex('863653c24782e2d6d8aeb50b54fb220f9a34f3c72722f9f3105cbbe16f7ee449'),
    plaintext: fromHex(`
      fe73e231f618353769acd0a3206e8315aa3745e8bc23b1ed9e80b570cfc85192a627a8ceaabcf419150bace77833a1bf
      60a81019c953c1364f17cf56f55f841e7f520a91dbd326d6140e1f43f65988981a720fa533f563b36ca3a8c313e706b8
      4a3c403ba696d7957c489469c78d70f97d2b2d8d826bdb8848144cd86c462aaf`),
    ciphertext: fromHex(`
      8b527159ad072049a986bd675497a58ae9ea755b8b6da53fb6784a3c6e8853b7788e9b7b50a78b8d754829bb0992234c
      929044605323cd61c5943448398d82fe500c935007b86ce473c22fb009dea36ea350bc6cbf23b51f16547bada64af4ff
      01490ecb424b1c600e01e8a52bf0a514d555fa1ec9375bcaa47a3c0df51ddf4f`),
  },
  {
    source: 'google/hctr2, HCTR2_AES128.json, 128 bytes, tweak 32, Random (1)',
    cipher: 'aes',
    mode: 'hctr2',
    key: fromHex('59653b1d435ec0aeb89d9bdd2203bfca'),
    tweak: fromHex('ec95fa5acf5ed293a3b5e5bef3017b01d1ca6c0682f0bd67d96ca4dcb4380f74'),
    plaintext: fromHex(`
      45df7587bc72ce55c9facbfc9f40822bc64f4f5b8b3b6d67a69362898c19f4e308929cc9472c6ed0a3022bdb2cf28d46
      cdb09d26634c406b7943e5ce42a8ec3b5bd0eaa4e6db66557a76ecab7d2a2bbda9ab22641aa1ae84867967e9b250be12
      2fb214f0db71d8a7418a88a06a6e9d2afa11374032094c47410731853da8f764`),
    ciphertext: fromHex(`
      2d4b9f93ca5a482601cc54e4315012f049ff594268bd878f9e6296cdb92457a40b7bf52e0ea86507ab05d5cae79c6c34
      5d4234a462e975483d9e8ffa42e975084e54912bbd110f8ef082f524f1c4fcae42547fce15a8b233c086b62be844ce1f
      685766946eadebf330f811bd6000c6d54c81f1202b4a5b99793bc95c7423e65d`),
  },
];
