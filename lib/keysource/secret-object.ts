/**
 * QEMU's secret objects (qemu(1), "-object secret" and "-object secret_keyring"): a secret may be encrypted
 * with another one, so that only ciphertext is seen where it is passed. Knows nothing of their command line.
 */
import { createDecipheriv } from 'node:crypto';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { readKeyringKey, requestUserKey } from '../native/keyring.js';
import { decodeBase64 } from './base64.js';
import { readingKeyFrom, requireKeySize } from './key-bytes.js';
import { readKeyFile } from './key-file.js';

const MASTER_KEY_BYTES = 32;
const IV_BYTES = 16;
/** Longer chains than any use are refused, and with them the circular ones. */
const MAX_CHAIN = 8;

export interface SecretObject {
  /** By which other secrets name it as their `keyId`. */
  id?: string | undefined;
  from:
    | { file: string }
    /** Serial number of a key, or the description of a key of type "user". */
    | { keyring: number | string }
    /** As it stands on the command line: ciphertext only. */
    | { data: string };
  /** How the bytes are written down; of an encrypted secret, its ciphertext. */
  format: 'raw' | 'base64';
  /** Encrypted with AES-256-CBC under the 32 bytes of this other secret. */
  encryption?: { keyId: string; ivBase64: string } | undefined;
}

function nameOf(secret: SecretObject): string {
  return secret.id === undefined ? 'the secret' : `secret ${secret.id}`;
}

function requireBase64(text: Uint8Array, what: string): Buffer {
  const bytes = decodeBase64(text);
  if (bytes) return bytes;
  throw new LuksError('BAD_ARGUMENT', `${what} is not base64; check its format`);
}

function readKeyring(key: number | string): Buffer {
  return readingKeyFrom(`key ${key} of the kernel's keyrings`, () =>
    readKeyringKey(typeof key === 'number' ? key : requestUserKey(key)),
  );
}

function readBytes(secret: SecretObject, volumeName: string): Buffer {
  const { from, format } = secret;
  let bytes: Buffer;
  if ('file' in from) bytes = readKeyFile(from.file, volumeName);
  else if ('keyring' in from) bytes = readKeyring(from.keyring);
  else bytes = Buffer.from(from.data);
  if (format === 'raw') return bytes;
  try {
    return requireBase64(bytes, nameOf(secret));
  } finally {
    wipe(bytes);
  }
}

function decrypt(name: string, ciphertext: Uint8Array, key: Uint8Array, ivBase64: string): Buffer {
  const iv = requireBase64(Buffer.from(ivBase64), `the iv of ${name}`);
  if (iv.length !== IV_BYTES) {
    throw new LuksError('BAD_ARGUMENT', `the iv of ${name} has ${iv.length} bytes, not ${IV_BYTES}`);
  }
  const decipher = createDecipheriv('aes-256-cbc', key, iv);
  const start = decipher.update(ciphertext);
  try {
    const end = decipher.final();
    const plain = Buffer.concat([start, end]);
    wipe(end);
    return plain;
  } catch (cause) {
    throw new LuksError('BAD_ARGUMENT', `${name} does not decrypt; check its keyid and iv`, { cause });
  } finally {
    wipe(start);
  }
}

/** The value of `secret`, the caller's to wipe; `others` are those it may name. Throws BAD_ARGUMENT. */
function resolve(
  secret: SecretObject,
  others: readonly SecretObject[],
  volumeName: string,
  depth = 1,
): Buffer {
  const { encryption } = secret;
  const bytes = readBytes(secret, volumeName);
  if (!encryption) return bytes;
  let masterKey: Buffer | null = null;
  try {
    const master = others.find(({ id }) => id === encryption.keyId);
    if (!master || depth >= MAX_CHAIN) {
      const why = master ? 'goes in a circle' : 'names no secret that was given';
      throw new LuksError('BAD_ARGUMENT', `keyid=${encryption.keyId} of ${nameOf(secret)} ${why}`);
    }
    masterKey = resolve(master, others, volumeName, depth + 1);
    if (masterKey.length !== MASTER_KEY_BYTES) {
      const what = `${nameOf(master)} is the key of ${nameOf(secret)}`;
      throw new LuksError(
        'BAD_ARGUMENT',
        `${what} and has ${masterKey.length} bytes, not ${MASTER_KEY_BYTES}`,
      );
    }
    return decrypt(nameOf(secret), bytes, masterKey, encryption.ivBase64);
  } finally {
    wipe(bytes, masterKey);
  }
}

/**
 * The value of the one among `secrets` that is not the key of another; the caller wipes it.
 * Throws BAD_ARGUMENT where there is not exactly one, and for what cannot be read or decrypted.
 */
export function readSecret(secrets: readonly SecretObject[], volumeName: string): Buffer {
  const keyIds = new Set(secrets.map(({ encryption }) => encryption?.keyId));
  const ids = secrets.map(({ id }) => id).filter((id) => id !== undefined);
  if (new Set(ids).size < ids.length) throw new LuksError('BAD_ARGUMENT', 'two secrets have the same id');
  const [wanted, another] = secrets.filter(({ id }) => id === undefined || !keyIds.has(id));
  if (!wanted || another) {
    const count = wanted ? 'more than one secret is' : 'no secret is';
    throw new LuksError('BAD_ARGUMENT', `${count} the passphrase; all but one must be the keyid of another`);
  }
  return requireKeySize(resolve(wanted, secrets, volumeName), nameOf(wanted));
}
