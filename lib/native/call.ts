/**
 * Calling C functions: one that is missing, and a result that reports by -1 and errno, become errors as the rest of
 * the project throws them.
 */
import { getSystemErrorName } from 'node:util';
import { LuksError } from '../errors.js';
import { lastErrno } from './library.js';

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
  const errno = -lastErrno();
  const code = KEY_ERRORS[-errno] ?? getSystemErrorName(errno);
  throw Object.assign(new Error(`${syscall}: ${code}`), { errno, code, syscall });
}

/** The function that was looked up, or UNSUPPORTED where there is none. */
export function orUnsupported<F>(found: F | null, syscall: string): F {
  if (found) return found;
  throw new LuksError('UNSUPPORTED', `${syscall}() cannot be called here: package koffi has no build for it`);
}
