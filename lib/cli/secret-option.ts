/**
 * The value of `--secret`, in the syntax of QEMU's `-object secret,…`: name=value pairs between commas; a comma
 * within a value is doubled.
 */
import { LuksError } from '../errors.js';
import type { SecretObject } from '../keysource/secret-object.js';

const NAMES = ['id', 'file', 'keyring', 'data', 'format', 'keyid', 'iv'] as const;
type Name = (typeof NAMES)[number];

function refuse(why: string): LuksError {
  return new LuksError('BAD_ARGUMENT', `--secret: ${why}`);
}

function splitPairs(text: string): Map<Name, string> {
  const pairs = new Map<Name, string>();
  for (const item of text.match(/(?:[^,]|,,)+/g) ?? []) {
    const [, name = item, value] = /^([^=]*)=(.*)$/s.exec(item) ?? [];
    const known = NAMES.find((each) => each === name);
    if (!known || value === undefined) throw refuse(`"${name}" is not one of ${NAMES.join('=, ')}=`);
    if (pairs.has(known)) throw refuse(`${known}= is given twice`);
    pairs.set(known, value.replaceAll(',,', ','));
  }
  return pairs;
}

function keyringKey(text: string): number | string {
  return /^\d{1,10}$/.test(text) ? Number(text) : text;
}

/** Throws BAD_ARGUMENT, also for a secret that would stand on the command line as it is. */
export function parseSecretOption(text: string): SecretObject {
  const pairs = splitPairs(text);
  const [file, keyring, data] = [pairs.get('file'), pairs.get('keyring'), pairs.get('data')];
  const [keyId, ivBase64] = [pairs.get('keyid'), pairs.get('iv')];
  const format = pairs.get('format') ?? 'raw';
  if (format !== 'raw' && format !== 'base64') throw refuse('format= is raw or base64');
  if ([file, keyring, data].filter((each) => each !== undefined).length !== 1) {
    throw refuse('give one of file=, keyring= and data=');
  }
  if ((keyId === undefined) !== (ivBase64 === undefined)) throw refuse('keyid= and iv= need each other');
  if (data !== undefined && keyId === undefined) {
    throw refuse(
      'data= is for what is encrypted (keyid=, iv=): every user can see a command line; use file=',
    );
  }
  const id = pairs.get('id');
  return {
    ...(id !== undefined && { id }),
    ...(keyId !== undefined && ivBase64 !== undefined && { encryption: { keyId, ivBase64 } }),
    from:
      file !== undefined
        ? { file }
        : keyring !== undefined
          ? { keyring: keyringKey(keyring) }
          : { data: data! },
    format,
  };
}
