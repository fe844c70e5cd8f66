/**
 * What dm-crypt.test.ts holds against the kernel: cipher specs in the kernel's spelling, with key size, sector
 * size and IV offset. The space of `cipher-mode-ivgen[:hash]` that LUKS headers, QEMU and cryptsetup name.
 */

export interface DmCryptRow {
  spec: string;
  keyBytes: number;
  sectorSizeBytes: number;
  /** The IV number of the first sector, in units of 512 bytes (dm-crypt without iv_large_sectors). */
  ivOffset: bigint;
}

/** The 33rd bit of the IV comes in amid the data: `plain` drops it, `plain64` does not. */
const ACROSS_32_BITS = 2n ** 32n - 24n;
/** More than a float of 53 bits can count; a multiple of the largest sector. */
const BEYOND_53_BITS = 2n ** 60n + 40n;
/** The IV counts over to 0 amid the data. */
const ACROSS_64_BITS = 2n ** 64n - 24n;

const SECTOR_SIZES = [512, 1024, 2048, 4096];

function row(spec: string, keyBytes: number, sectorSizeBytes = 512, ivOffset = ACROSS_32_BITS): DmCryptRow {
  return { spec, keyBytes, sectorSizeBytes, ivOffset };
}

/** What most volumes have: every sector size, and IV offsets at the edges of the counters. */
const AES_ROWS: DmCryptRow[] = [
  { spec: 'aes-xts-plain64', keyBytes: 64 },
  { spec: 'aes-xts-plain', keyBytes: 32 },
  { spec: 'aes-xts-essiv:sha256', keyBytes: 64 },
  { spec: 'aes-cbc-plain64', keyBytes: 32 },
  { spec: 'aes-cbc-plain', keyBytes: 16 },
  { spec: 'aes-cbc-essiv:sha256', keyBytes: 32 },
].flatMap(({ spec, keyBytes }) => [
  ...SECTOR_SIZES.map((sectorSizeBytes) => row(spec, keyBytes, sectorSizeBytes)),
  row(spec, keyBytes, 512, 0n),
  row(spec, keyBytes, 4096, BEYOND_53_BITS),
  row(spec, keyBytes, 512, ACROSS_64_BITS),
]);

const AES_KEY_SIZE_ROWS = [
  row('aes-xts-plain64', 32),
  row('aes-xts-plain64', 48),
  row('aes-cbc-plain64', 16),
  row('aes-cbc-plain64', 24),
  row('aes-cbc-essiv:sha256', 16),
];

/** Ciphers of 128-bit blocks in every mode and, in xts and cbc, with every key size. */
const WIDE_BLOCK_ROWS = [
  { cipher: 'serpent', keySizes: [16, 24, 32] },
  { cipher: 'twofish', keySizes: [16, 24, 32] },
  { cipher: 'camellia', keySizes: [16, 24, 32] },
  { cipher: 'aria', keySizes: [16, 24, 32] },
  { cipher: 'cast6', keySizes: [16, 20, 24, 28, 32] },
  { cipher: 'sm4', keySizes: [16] },
].flatMap(({ cipher, keySizes }) => {
  const longest = keySizes.at(-1)!;
  return [
    ...keySizes.flatMap((size) => [row(`${cipher}-xts-plain64`, 2 * size), row(`${cipher}-cbc-plain`, size)]),
    row(`${cipher}-xts-plain64`, 2 * longest, 4096),
    row(`${cipher}-cbc-plain64`, longest, 4096),
    row(`${cipher}-ctr-plain64`, longest),
    row(`${cipher}-ecb`, longest),
    row(`${cipher}-lrw-benbi`, longest + 16),
    // ESSIV's key is a digest of 256 bits, which no SM4 takes.
    ...(longest === 32 ? [row(`${cipher}-cbc-essiv:sha256`, longest)] : []),
  ];
});

/** Ciphers of 64-bit blocks, for which there is neither XTS nor LRW. */
const NARROW_BLOCK_ROWS = [
  { cipher: 'cast5', keySizes: [5, 10, 16] },
  { cipher: 'blowfish', keySizes: [16, 32, 56] },
  { cipher: 'des3_ede', keySizes: [24] },
].flatMap(({ cipher, keySizes }) => {
  const longest = keySizes.at(-1)!;
  return [
    ...keySizes.map((size) => row(`${cipher}-cbc-plain64`, size)),
    row(`${cipher}-cbc-plain`, longest, 4096),
    row(`${cipher}-ctr-plain64`, longest),
    row(`${cipher}-ecb`, longest),
    row(`${cipher}-cbc-benbi`, longest),
  ];
});

/** Every mode and every IV generator, with aes; the bare names as dm-crypt reads them. */
const MODE_AND_IV_ROWS = [
  ...['ecb', 'cbc-null', 'cbc-plain64be', 'cbc-benbi', 'cbc-eboiv'].map((name) => row(`aes-${name}`, 32)),
  ...['ctr-plain', 'ctr-plain64', 'ctr-plain64be', 'ctr-null'].map((name) => row(`aes-${name}`, 32)),
  ...['xts-null', 'xts-plain64be', 'xts-benbi'].map((name) => row(`aes-${name}`, 64)),
  ...['lrw-benbi', 'lrw-plain64', 'lrw-plain64be'].map((name) => row(`aes-${name}`, 48)),
  ...[32, 40].map((keyBytes) => row('aes-lrw-benbi', keyBytes)),
  ...['cbc-eboiv', 'cbc-benbi', 'cbc-plain64be', 'ctr-plain64'].map((name) => row(`aes-${name}`, 32, 4096)),
  ...['lrw-benbi', 'lrw-plain64'].map((name) => row(`aes-${name}`, 48, 4096)),
  row('aes-xts-plain64be', 64, 4096),
  row('aes-cbc-plain64be', 32, 512, ACROSS_64_BITS),
  row('aes-cbc-benbi', 32, 512, BEYOND_53_BITS),
  row('aes-lrw-benbi', 48, 4096, BEYOND_53_BITS),
  row('aes-cbc-eboiv', 32, 4096, 2n ** 40n),
  ...['aes', 'aes-plain', 'aes-cbc-plain'].map((spec) => row(spec, 32)),
  row('twofish', 32),
  row('serpent-plain', 32),
];

/** ESSIV with other hashes, of those whose digest is a key of the cipher; rmd160 is the kernel's ripemd160. */
const ESSIV_ROWS = [
  row('aes-cbc-essiv:sha3-256', 32),
  row('aes-cbc-essiv:md5', 32),
  ...['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'rmd160'].map((hash) =>
    row(`blowfish-cbc-essiv:${hash}`, 32),
  ),
  ...['sha1', 'rmd160', 'sha224'].map((hash) => row(`cast6-cbc-essiv:${hash}`, 32)),
];

/** Modes that encrypt the sector as one block. */
const WHOLE_SECTOR_ROWS = [
  ...SECTOR_SIZES.map((sectorSizeBytes) => row('xchacha12,aes-adiantum-plain64', 32, sectorSizeBytes)),
  row('xchacha20,aes-adiantum-plain64', 32),
  row('xchacha20,aes-adiantum-plain64', 32, 4096),
  ...[16, 24, 32].map((keyBytes) => row('aes-hctr2-plain64', keyBytes)),
  row('aes-hctr2-plain64', 32, 4096),
];

/** The kernel's own names of the same. */
const CAPI_ROWS = [
  row('capi:xts(aes)-plain64', 64),
  row('capi:cbc(aes)-plain', 32, 4096),
  row('capi:cbc(aes)-essiv:sha256', 32),
  row('capi:essiv(cbc(aes),sha256)-plain64', 32),
  row('capi:ctr(aes)-plain64be', 16),
  row('capi:ecb(aes)-null', 16),
  row('capi:lrw(serpent)-benbi', 48),
  row('capi:xts(twofish)-plain64', 64),
  row('capi:adiantum(xchacha12,aes)-plain64', 32),
  row('capi:hctr2(aes)-plain64', 32),
];

/** Debian builds its kernels without these; a kernel that has them is held against them. */
export const MAY_BE_ABSENT = /\b(aria|sm4|hctr2)\b/;

export const DM_CRYPT_ROWS: readonly DmCryptRow[] = [
  ...[...AES_ROWS, ...AES_KEY_SIZE_ROWS, ...MODE_AND_IV_ROWS, ...ESSIV_ROWS],
  ...[...WIDE_BLOCK_ROWS, ...NARROW_BLOCK_ROWS, ...WHOLE_SECTOR_ROWS, ...CAPI_ROWS],
];
