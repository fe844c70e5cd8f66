/**
 * Calling C functions: one that is missing, and a result that reports by -1 and errno, become errors as the rest of
 * the project throws them.
 */
import { getSystemErrorName } from 'node:util';
import { LuksError } from '../errors.js';
import { koffiLack, lastErrno } from './library.js';

/** Those of include/uapi/asm-generic/errno.h that Node has no names for: of keyrings(7). */
const KEY_ERRORS: Readonly<Record<number, string>> = {
  126: 'ENOKEY',
  127: 'EKEYEXPIRED',
  128: 'EKEYREVOKED',
  129: 'EKEYREJECTED',
};

/** `result`, or the error that errno tells of where it is negative. Call it before any other C call. */
export function checkResult(result: number, syscall: string): number {
  if (result >= 0) return result;
  throw errnoError(lastErrno(), syscall);
}

/** What node:fs would throw for a call that has set `errno`, a positive number. */
export function errnoError(errno: number, syscall: string): NodeJS.ErrnoException {
  const code = KEY_ERRORS[errno] ?? getSystemErrorName(-errno);
  return Object.assign(new Error(`${syscall}: ${code}`), { errno: -errno, code, syscall });
}

/** The function that was looked up, or UNSUPPORTED where there is none. */
export function orUnsupported<F>(found: F | null, syscall: string): F {
  if (found) return found;
  throw new LuksError(
    'UNSUPPORTED',
    koffiLack
      ? `${syscall}() needs the package koffi, which cannot be used here (${koffiLack}); ` +
          'use 64-bit Node.js, and install luksfuse with its optional dependencies'
      : `this system's C library has no ${syscall}()`,
  );
}
