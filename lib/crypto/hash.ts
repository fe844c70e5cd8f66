/**
 * Hash functions by the names LUKS headers give them ("hash spec", LUKS1 spec section 2.2; LUKS2 spec "hash").
 * Knows nothing of headers.
 */
import { createHash, getHashes } from 'node:crypto';
import { LuksError } from '../errors.js';
import { LEGACY_CURE, loadLegacyProvider } from '../native/evp.js';

/** Names that OpenSSL spells otherwise; the rest are the same. rmd160 is the kernel's, in `essiv:rmd160`. */
const OPENSSL_NAMES: Readonly<Record<string, string>> = {
  'blake2b-512': 'blake2b512',
  'blake2s-256': 'blake2s256',
  rmd160: 'ripemd160',
};

/** What new headers may name: a digest of fixed size. OpenSSL also has md5-sha1 and the shake functions. */
const LUKS_HASHES = [
  ...['sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160', 'whirlpool', 'sm3'],
  ...['sha3-224', 'sha3-256', 'sha3-384', 'sha3-512', 'blake2b-512', 'blake2s-256'],
];
/** What others write as well: QEMU takes md5 for its hash-alg and ivgen-hash-alg. */
const FOREIGN_HASHES = ['md5', 'rmd160'];

const available = new Set(getHashes().map((name) => name.toLowerCase()));

function isAvailable(openSslName: string): boolean {
  // Whirlpool lies in the legacy provider, and getHashes only lists what OpenSSL had at node's start.
  return available.has(openSslName) || (openSslName === 'whirlpool' && loadLegacyProvider());
}

/** The node:crypto name of a hash that a header names, or null where LUKS or this OpenSSL does not know it. */
export function findHash(luksName: string): string | null {
  const name = luksName.toLowerCase();
  if (!LUKS_HASHES.includes(name) && !FOREIGN_HASHES.includes(name)) return null;
  const openSslName = Object.hasOwn(OPENSSL_NAMES, name) ? OPENSSL_NAMES[name]! : name;
  return isAvailable(openSslName) ? openSslName : null;
}

/** The node:crypto name of a LUKS hash. Throws UNSUPPORTED naming the hash. */
export function requireHash(luksName: string): string {
  const found = findHash(luksName);
  if (found) return found;
  throw new LuksError(
    'UNSUPPORTED',
    `hash "${luksName}" is not available in this Node's OpenSSL ${process.versions.openssl}; ` +
      `it has ${supportedHashes().join(', ')}${LEGACY_CURE}`,
  );
}

/** Throws UNSUPPORTED, naming the hash, where a new header must not name it. */
export function checkNewHash(luksName: string): void {
  requireHash(luksName);
  if (LUKS_HASHES.includes(luksName)) return;
  throw new LuksError(
    'UNSUPPORTED',
    `hash "${luksName}" is read where a header names it, but not for new ones; take one of ${supportedHashes().join(', ')}`,
  );
}

/** LUKS names of all hashes that new headers may name here. */
export function supportedHashes(): string[] {
  return LUKS_HASHES.filter((name) => findHash(name) !== null);
}

/** Digest size in bytes of a LUKS hash. */
export function hashSizeBytes(luksName: string): number {
  return createHash(requireHash(luksName)).digest().length;
}
