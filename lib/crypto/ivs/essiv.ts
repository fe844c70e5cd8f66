/**
 * ESSIV, the encrypted salt-sector IV (C. Fruhwirth, "New Methods in Hard Disk Encryption", 4.3): plain64 run
 * through the same block cipher, keyed with a hash of the key.
 */
import crypto from 'node:crypto';
import { wipe } from '../../bytes.js';
import { LuksError } from '../../errors.js';
import { requireHash } from '../hash.js';
import type { IvContext, IvGenerator, IvRow } from './iv.js';

/** The hash as the key of the salt cipher. Throws UNSUPPORTED where the cipher takes no key of that size. */
function saltOf({ cipher, key, hash }: IvContext): Buffer {
  const salt = crypto
    .createHash(requireHash(hash ?? ''))
    .update(key)
    .digest();
  if (cipher.keySizesBytes.includes(salt.length)) return salt;
  throw new LuksError(
    'UNSUPPORTED',
    `essiv:${hash} gives a key of ${salt.length * 8} bits, and ${cipher.name} takes ` +
      `${cipher.keySizesBytes.map((bytes) => bytes * 8).join(', ')}; the volume must name another hash`,
  );
}

function open(context: IvContext): IvGenerator | null {
  const { kernel, engine, cipher, ivBytes } = context;
  const salt = saltOf(context);
  try {
    const saltCipher = engine.findBlockCipher(kernel, cipher, salt);
    return (
      saltCipher && {
        fill: (target, count, first, step) => {
          kernel.functions.fillPlain64(target, count, ivBytes, first, step);
          saltCipher.encrypt(target, target, count * ivBytes);
        },
        destroy: () => saltCipher.destroy(),
      }
    );
  } finally {
    wipe(salt);
  }
}

export const essiv: IvRow = { name: 'essiv', takesHash: true, onlyMode: null, open };
