/**
 * The block ciphers by the name headers give them: one row each. Knows no mode and no IV.
 */

export interface CipherRow {
  readonly name: string;
  /** 1 for a stream cipher (Adiantum's pairs), which goes with no block mode. */
  readonly blockBytes: 1 | 8 | 16;
  /** Ascending. */
  readonly keySizesBytes: readonly number[];
  /** OpenSSL's name of the cipher with this key size, less the mode, as in `AES-256`; null where it has none. */
  readonly opensslName: ((keyBits: number) => string) | null;
}

const KEYS_128_TO_256 = [16, 24, 32];

/** Every whole number of bytes from `first` to `last`, for the ciphers that take keys of any length. */
function bytes(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function row(
  name: string,
  blockBytes: CipherRow['blockBytes'],
  keySizesBytes: readonly number[],
  opensslName: CipherRow['opensslName'],
): CipherRow {
  return { name, blockBytes, keySizesBytes, opensslName };
}

/** No cipher at all (null-cipher.ts). */
export const NULL_CIPHER = 'cipher_null';

export const CIPHERS: readonly CipherRow[] = [
  row('aes', 16, KEYS_128_TO_256, (bits) => `AES-${bits}`),
  row('camellia', 16, KEYS_128_TO_256, (bits) => `CAMELLIA-${bits}`),
  row('aria', 16, KEYS_128_TO_256, (bits) => `ARIA-${bits}`),
  row('sm4', 16, [16], () => 'SM4'),
  row('serpent', 16, KEYS_128_TO_256, null),
  row('twofish', 16, KEYS_128_TO_256, null),
  row('cast6', 16, [16, 20, 24, 28, 32], null),
  row('cast5', 8, bytes(5, 16), () => 'CAST5'),
  row('blowfish', 8, bytes(4, 56), () => 'BF'),
  row('des3_ede', 8, [24], () => 'DES-EDE3'),
  row('xchacha12,aes', 1, [32], null),
  row('xchacha20,aes', 1, [32], null),
  row(NULL_CIPHER, 16, bytes(0, 64), null),
];

export function findCipher(name: string): CipherRow | null {
  return CIPHERS.find((cipher) => cipher.name === name) ?? null;
}
