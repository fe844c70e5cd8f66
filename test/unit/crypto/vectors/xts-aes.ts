/**
 * XTS-AES vectors of IEEE Std 1619-2007, Annex B. The short ones are the heads of a sector: in XTS the blocks
 * that follow do not change them.
 */
import { fromHex, type SectorVector } from './sector-vector.js';

/** The plaintext of vectors 4 and 10 to 14: 00 to ff, twice. */
const COUNTING = Buffer.from(Uint8Array.from({ length: 512 }, (_, index) => index % 256));
const KEY_128 = '2718281828459045235360287471352631415926535897932384626433832795';
const KEY_256 =
  '2718281828459045235360287471352662497757247093699959574966967627' +
  '3141592653589793238462643383279502884197169399375105820974944592';

const CIPHERTEXT_4 = fromHex(`
  27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89cc78cf7f5e543445f8333d8fa7f560000
  05279fa5d8b5e4ad40e736ddb4d35412328063fd2aab53e5ea1e0a9f332500a5df9487d07a5c92cc512c8866c7e860ce
  93fdf166a24912b422976146ae20ce846bb7dc9ba94a767aaef20c0d61ad02655ea92dc4c4e41a8952c651d33174be51
  a10c421110e6d81588ede82103a252d8a750e8768defffed9122810aaeb99f9172af82b604dc4b8e51bcb08235a6f434
  1332e4ca60482a4ba1a03b3e65008fc5da76b70bf1690db4eae29c5f1badd03c5ccf2a55d705ddcd86d449511ceb7ec3
  0bf12b1fa35b913f9f747a8afd1b130e94bff94effd01a91735ca1726acd0b197c4e5b03393697e126826fb6bbde8ecc
  1e08298516e2c9ed03ff3c1b7860f6de76d4cecd94c8119855ef5297ca67e9f3e7ff72b1e99785ca0a7e7720c5b36dc6
  d72cac9574c8cbbc2f801e23e56fd344b07f22154beba0f08ce8891e643ed995c94d9a69c9f1b5f499027a78572aeebd
  74d20cc39881c213ee770b1010e4bea718846977ae119f7a023ab58cca0ad752afe656bb3c17256a9f6e9bf19fdd5a38
  fc82bbe872c5539edb609ef4f79c203ebb140f2e583cb2ad15b4aa5b655016a8449277dbd477ef2c8d6c017db738b18d
  eb4a427d1923ce3ff262735779a418f20a282df920147beabe421ee5319d0568`);
const CIPHERTEXT_10 = fromHex(`
  1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b5d31e276f8fe4a8d66b317f9ac683f44
  680a86ac35adfc3345befecb4bb188fd5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0`);
const CIPHERTEXT_14 = fromHex(`
  64497e5a831e4a932c09be3e5393376daa599548b816031d224bbf50a818ed2350eae7e96087c8a0db51ad290bd00c1a
  c1620857635bf246c176ab463be30b808da548081ac847b158e1264be25bb0910bbc92647108089415d45fab1b3d2604
  e8a8eff1ae4020cfa39936b66827b23f371b92200be90251e6d73c5f86de5fd4a950781933d79a28272b782a2ec313ef
  dfcc0628f43d744c2dc2ff3dcb66999b50c7ca895b0c64791eeaa5f29499fb1c026f84ce5b5c72ba1083cddb5ce45434
  631665c333b60b11593fb253c5179a2c8db813782a004856a1653011e93fb6d876c18366dd8683f53412c0c180f9c848
  592d593f8609ca736317d356e13e2bff3a9f59cd9aeb19cd482593d8c46128bb32423b37a9adfb482b99453fbe25a41b
  f6feb4aa0bef5ed24bf73c762978025482c13115e4015aac992e5613a3b5c2f685b84795cb6e9b2656d8c88157e52c42
  f978d8634c43d06fea928f2822e465aa6576e9bf419384506cc3ce3c54ac1a6f67dc66f3b30191e698380bc999b05abc
  e19dc0c6dcc2dd001ec535ba18deb2df1a101023108318c75dc98611a09dc48a0acdec676fabdf222f07e026f059b672
  b56e5cbc8e1d21bbd867dd927212054681d70ea737134cdfce93b6f82ae22423274e58a0821cc5502e2d0ab4585e94de
  6975be5e0b4efce51cd3e70c25a1fbbbd609d273ad5b0d59631c531f6a0a57b9`);

function vector(
  number: number,
  key: string,
  ivSector: bigint,
  plaintext: Buffer,
  ciphertext: Buffer,
): SectorVector {
  return {
    source: `IEEE 1619-2007, Annex B, vector ${number}`,
    spec: 'aes-xts-plain64',
    key: fromHex(key),
    ivSector,
    plaintext: plaintext.subarray(0, ciphertext.length),
    ciphertext,
  };
}

export const XTS_AES_VECTORS: SectorVector[] = [
  vector(
    1,
    '00'.repeat(32),
    0n,
    Buffer.alloc(32),
    fromHex('917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e'),
  ),
  vector(
    2,
    '11'.repeat(16) + '22'.repeat(16),
    0x3333333333n,
    Buffer.alloc(32, 0x44),
    fromHex('c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0'),
  ),
  vector(
    3,
    `fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0${'22'.repeat(16)}`,
    0x3333333333n,
    Buffer.alloc(32, 0x44),
    fromHex('af85336b597afc1a900b2eb21ec949d292df4c047e0b21532186a5971a227a89'),
  ),
  vector(4, KEY_128, 0n, COUNTING, CIPHERTEXT_4),
  vector(
    5,
    KEY_128,
    1n,
    CIPHERTEXT_4,
    fromHex(
      '264d3ca8512194fec312c8c9891f279fefdd608d0c027b60483a3fa811d65ee59d52d9e40ec5672d81532b38b6b089ce',
    ),
  ),
  vector(10, KEY_256, 0xffn, COUNTING, CIPHERTEXT_10),
  vector(14, KEY_256, 0xffffffffffn, COUNTING, CIPHERTEXT_14),
];
