/**
 * Tokens of type "luks2-keyring" (LUKS2 specification, section 3.6): the description of a key in the kernel's
 * keyrings whose payload is the passphrase of the token's keyslots. Only reads.
 */
import createDebug from 'debug';
import { isSystemError, LuksError } from '../errors.js';
import type { LuksHeader } from '../format/model.js';
import { readKeyringKey, requestUserKey } from '../native/keyring.js';

const debug = createDebug('luksfuse:keyslot');

const TYPE = 'luks2-keyring';

export interface KeyringToken {
  id: number;
  keyslots: readonly number[];
  /** Of a key of type "user". */
  keyDescription: string;
}

/** Those of `header`, in the order of their ids, that are tied to a keyslot. */
export function listKeyringTokens(header: LuksHeader): KeyringToken[] {
  return [...header.tokens]
    .sort(([a], [b]) => a - b)
    .flatMap(([id, { type, keyslots, document }]) => {
      const { key_description: keyDescription } = document;
      const isOurs = type === TYPE && keyslots.length > 0;
      const isText = typeof keyDescription === 'string' && !keyDescription.includes('\0');
      return isOurs && isText ? [{ id, keyslots, keyDescription }] : [];
    });
}

/** Throws BAD_ARGUMENT where there is no token `id`, UNSUPPORTED where it is of another type. */
export function requireKeyringToken(header: LuksHeader, id: number): KeyringToken {
  const found = listKeyringTokens(header).find((token) => token.id === id);
  if (found) return found;
  const token = header.tokens.get(id);
  if (!token) throw new LuksError('BAD_ARGUMENT', `token ${id} does not exist; luksfuse dump lists them`);
  const why =
    token.type === TYPE
      ? 'has no keyslot or no key description'
      : `is of type "${token.type}"; only ${TYPE} can be used`;
  throw new LuksError('UNSUPPORTED', `token ${id} ${why}`);
}

/** The passphrase, the caller's to wipe. Throws BAD_ARGUMENT where the kernel has or gives no such key. */
export function readTokenPassphrase(token: KeyringToken): Buffer {
  try {
    return readKeyringKey(requestUserKey(token.keyDescription));
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new LuksError(
      'BAD_ARGUMENT',
      `token ${token.id}: key "${token.keyDescription}" cannot be read from the kernel's keyrings ` +
        `(${cause.code}); add it with keyctl(1) to a keyring of this session`,
      { cause },
    );
  }
}

/** As `readTokenPassphrase`, but null where that throws. */
export function findTokenPassphrase(token: KeyringToken): Buffer | null {
  try {
    return readTokenPassphrase(token);
  } catch (error) {
    if (!(error instanceof LuksError)) throw error;
    debug('%s', error.message);
    return null;
  }
}
