/**
 * The names of ciphers as headers and dm-crypt spell them: `cipher-mode-ivgen[:hash]`. What is not in the
 * tables of ciphers.ts, modes.ts and ivs.ts is refused here, before any key is asked for.
 */
import { LuksError } from '../errors.js';
import { findPlainSpelling } from './capi-spec.js';
import { CIPHERS, type CipherRow, findCipher } from './ciphers.js';
import { findHash, supportedHashes } from './hash.js';
import type { IvRow } from './ivs/iv.js';
import { findIv, findIvRefusal, IVS } from './ivs.js';
import type { ModeRow } from './modes/mode.js';
import { findMode, MODES } from './modes.js';

export interface CipherSpec {
  /** Block cipher, lower case: `aes`. For Adiantum two: `xchacha12,aes`. */
  cipher: string;
  /** Chaining mode: `xts`, `cbc`, … (modes.ts). */
  mode: string;
  /** IV generator: `plain64`, `essiv`, … (ivs.ts). */
  iv: string;
  /** The hash of `essiv:<hash>`, else null. */
  ivHash: string | null;
}

/** The table rows that a spec names. */
export interface CipherParts {
  cipher: CipherRow;
  mode: ModeRow;
  iv: IvRow;
}

/** Specs come from headers: bounded before they are looked at or repeated in an error. */
const LONGEST_SPEC = 96;
/** cipher[:keycount][-mode[-ivgen[:hash]]] */
const SPEC_FORM = /^([a-z0-9_,]+)(?::([0-9]+))?(?:-([a-z0-9]+)(?:-([a-z0-9]+)(?::([a-z0-9-]+))?)?)?$/;
/** Short names: cryptsetup's for the null cipher; Adiantum's block cipher is always AES. */
const SHORT_CIPHERS: Readonly<Record<string, string>> = {
  null: 'cipher_null',
  xchacha12: 'xchacha12,aes',
  xchacha20: 'xchacha20,aes',
};

function refuse(spec: string, why: string): never {
  throw new LuksError('UNSUPPORTED', `cipher "${spec}" is not supported: ${why}`);
}

function names(rows: readonly { name: string }[]): string {
  return rows.map((row) => row.name).join(', ');
}

function requireIv(text: string, { iv, ivHash }: CipherSpec): IvRow {
  const row = findIv(iv) ?? refuse(text, findIvRefusal(iv) ?? `the IV generators are ${names(IVS)}`);
  if (row.takesHash && ivHash === null) refuse(text, `${iv} needs a hash, as in ${iv}:sha256`);
  if (!row.takesHash && ivHash !== null) refuse(text, `${iv} takes no hash`);
  if (ivHash !== null && !findHash(ivHash)) {
    refuse(text, `there is no hash ${ivHash}; there are ${supportedHashes().join(', ')}`);
  }
  return row;
}

/**
 * The rows of a spec. Throws UNSUPPORTED, naming the part that is not supported and what would be.
 */
export function requireCipherParts(spec: CipherSpec): CipherParts {
  const text = formatCipherSpec(spec);
  const cipher = findCipher(spec.cipher) ?? refuse(text, `the ciphers are ${names(CIPHERS)}`);
  const mode = findMode(spec.mode) ?? refuse(text, `the modes are ${names(MODES)}`);
  const iv = requireIv(text, spec);
  if (mode.keySizesBytes(cipher).length === 0) refuse(text, `${mode.name} does not go with ${cipher.name}`);
  if (iv.onlyMode !== null && iv.onlyMode !== mode.name) {
    refuse(text, `${iv.name} goes with ${iv.onlyMode} alone`);
  }
  if (iv.takesHash && mode.ivBytes(cipher) !== cipher.blockBytes) {
    refuse(text, `${iv.name} makes IVs of one block, and ${mode.name} takes others`);
  }
  return { cipher, mode, iv };
}

/**
 * A spec from its text, as dm-crypt reads it: `cipher-mode-ivgen[:hash]`, `cipher` and `cipher-plain` for
 * cipher-cbc-plain, `cipher-ecb`, `capi:mode(cipher)-ivgen[:hash]`. Throws UNSUPPORTED for whatever cannot be
 * used, with the reason.
 */
export function parseCipherSpec(text: string): CipherSpec {
  if (text.length > LONGEST_SPEC) refuse(`${text.slice(0, LONGEST_SPEC)}…`, 'the name is too long');
  const match = SPEC_FORM.exec(findPlainSpelling(text) ?? text);
  if (!match?.[1]) refuse(text, 'it is not of the form cipher-mode-ivgen[:hash], as in aes-xts-plain64');
  const [, name, keyCount, mode = 'plain', iv, hash = null] = match;
  if (keyCount !== undefined && keyCount !== '1') {
    refuse(text, `${keyCount} keys are loop-AES; a LUKS header holds one`);
  }
  const spec = completeSpec(
    text,
    Object.hasOwn(SHORT_CIPHERS, name) ? SHORT_CIPHERS[name]! : name,
    mode,
    iv,
    hash,
  );
  requireCipherParts(spec);
  return spec;
}

/** What dm-crypt's older spellings leave out (crypt_ctr_cipher_old). ECB has no IV, whatever is said. */
function completeSpec(
  text: string,
  cipher: string,
  mode: string,
  iv: string | undefined,
  ivHash: string | null,
): CipherSpec {
  if (mode === 'plain' && iv === undefined) return { cipher, mode: 'cbc', iv: 'plain', ivHash };
  if (mode === 'ecb') return { cipher, mode, iv: 'null', ivHash: null };
  if (iv === undefined) refuse(text, `${mode} needs an IV generator, as in ${cipher}-${mode}-plain64`);
  return { cipher, mode, iv, ivHash };
}

/** The plain spelling of a spec. */
export function formatCipherSpec({ cipher, mode, iv, ivHash }: CipherSpec): string {
  if (mode === 'ecb') return `${cipher}-${mode}`;
  return `${cipher}-${mode}-${iv}${ivHash === null ? '' : `:${ivHash}`}`;
}

/** The key sizes that go with a spec, in bits, ascending: aes-xts 256, 384, 512; aes-cbc 128, 192, 256. */
export function keySizesBits(spec: CipherSpec): number[] {
  const { cipher, mode } = requireCipherParts(spec);
  return mode.keySizesBytes(cipher).map((bytes) => bytes * 8);
}

/** Throws UNSUPPORTED where a key of this size does not go with the spec. */
export function checkKeySize(spec: CipherSpec, keyBytes: number): void {
  const sizes = keySizesBits(spec);
  if (sizes.includes(keyBytes * 8)) return;
  const listed = sizes.length > 4 ? `${sizes[0]} to ${sizes.at(-1)}` : sizes.join(', ');
  refuse(formatCipherSpec(spec), `it takes keys of ${listed} bits, not ${keyBytes * 8}`);
}
