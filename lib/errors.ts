/**
 * The one error class of the project and the table that gives each code its errno and exit status.
 * Knows nothing of LUKS, FUSE or the command line.
 */
import { constants } from 'node:os';

const { errno } = constants;

/** What each code means to a FUSE caller (`errno`) and to a shell (`exit`). The exit codes are a promise. */
const CODES = {
  BAD_ARGUMENT: { errno: errno.EINVAL, exit: 1 },
  BAD_PASSPHRASE: { errno: errno.EACCES, exit: 2 },
  NO_MEMORY: { errno: errno.ENOMEM, exit: 3 },
  NOT_LUKS: { errno: errno.EINVAL, exit: 4 },
  HEADER_CORRUPT: { errno: errno.EIO, exit: 4 },
  DEVICE_IO: { errno: errno.EIO, exit: 4 },
  UNSUPPORTED: { errno: errno.ENOTSUP, exit: 4 },
  BUSY: { errno: errno.EBUSY, exit: 5 },
} as const;

export type ErrorCode = keyof typeof CODES;

/** A failure with a stable code. The message says what failed, why, and what to do next; never key bytes. */
export class LuksError extends Error {
  override readonly name = 'LuksError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  get exitCode(): number {
    return CODES[this.code].exit;
  }
}

/** True for an error of node:fs, which carries a system errno. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === 'number';
}

/**
 * The positive errno a FUSE caller should see. A system error keeps its own, also inside a LuksError's
 * cause; whatever is unknown is EIO, never ENOSYS (the kernel would remember that for the whole mount).
 */
export function errnoOf(error: unknown): number {
  if (isSystemError(error)) return Math.abs(error.errno as number);
  if (error instanceof LuksError) {
    return isSystemError(error.cause) ? errnoOf(error.cause) : CODES[error.code].errno;
  }
  return errno.EIO;
}

/** A system error with this errno, as node:fs would have thrown it. */
export function systemError(code: keyof typeof errno, syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${syscall}: ${code}`), { code, errno: -errno[code], syscall });
}
