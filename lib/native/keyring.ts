/**
 * The kernel's key retention service (keyrings(7)): reads keys of type "user". libc has no functions for it, so
 * it is called by number through syscall(2). Knows nothing of what the keys are for.
 */
import { arch } from 'node:process';
import { wipe } from '../bytes.js';
import { systemError } from '../errors.js';
import { checkResult, orUnsupported } from './call.js';
import { findFunction } from './library.js';

interface Numbers {
  requestKey: number;
  keyctl: number;
}

const GENERIC: Numbers = { requestKey: 218, keyctl: 219 };

/** arch/…/syscall.tbl and include/uapi/asm-generic/unistd.h of the kernel. */
const NUMBERS: Readonly<Record<string, Numbers>> = {
  x64: { requestKey: 249, keyctl: 250 },
  arm64: GENERIC,
  riscv64: GENERIC,
  loong64: GENERIC,
  ppc64: { requestKey: 270, keyctl: 271 },
};

/** include/uapi/linux/keyctl.h */
const KEYCTL_READ = 11;
/** More than a key of any type holds ("big_key": security/keys/big_key.c). */
const MAX_KEY_BYTES = 1024 * 1024;

const cRequestKey = findFunction<
  (number: number, type: string, description: string, info: null, destination: number) => number
>('long syscall(long number, const char *type, const char *description, const char *info, long destination)');
const cKeyctl = findFunction<
  (number: number, operation: number, serial: number, buffer: Uint8Array, length: number) => number
>('long syscall(long number, long operation, long serial, void *buffer, size_t length)');

/** Null where its numbers are not known. */
const numbers = NUMBERS[arch] ?? null;

/**
 * The serial of the "user" key with this description in the keyrings of the process (thread, process, session;
 * the session's usually links to the user's), as request_key(2) finds it without an upcall.
 * Throws UNSUPPORTED, or with errno ENOKEY, EKEYEXPIRED, EKEYREVOKED, EACCES, EPERM or ENOSYS.
 */
export function requestUserKey(description: string): number {
  const call = orUnsupported(numbers && cRequestKey, 'request_key');
  return checkResult(call(numbers!.requestKey, 'user', description, null, 0), 'request_key');
}

/** The payload of key `serial`, the caller's to wipe. Throws with the errno of keyctl(2). */
export function readKeyringKey(serial: number): Buffer {
  const call = orUnsupported(numbers && cKeyctl, 'keyctl');
  const room = Buffer.alloc(MAX_KEY_BYTES);
  try {
    const length = checkResult(call(numbers!.keyctl, KEYCTL_READ, serial, room, room.length), 'keyctl');
    if (length > room.length) throw systemError('EMSGSIZE', 'keyctl');
    return Buffer.from(room.subarray(0, length));
  } finally {
    wipe(room);
  }
}
