/**
 * What an operation of the protocol is given and gives back. There is one context for each frame of a thread.
 */
import { constants } from 'node:os';
import { errnoOf } from '../errors.js';
import type { CachePolicy } from './cache-policy.js';
import type { Counters } from './counters.js';
import type { PlainFile, TreeNode } from './plain-file.js';
import type { Frame } from './wire.js';

export const { errno } = constants;

/** A result that means: the kernel waits for no answer. */
export const NO_REPLY = Number.NEGATIVE_INFINITY;

export interface Context {
  readonly frame: Frame;
  readonly tree: PlainFile;
  readonly policy: CachePolicy;
  readonly counters: Counters;
}

export interface Operation {
  /** A request with fewer bytes of arguments is malformed: EINVAL. */
  readonly argumentBytes: number;
  /**
   * Serves the request in `context.frame` on `node`. Returns the bytes of the body it encoded, or a negative
   * errno, or NO_REPLY. What it throws is answered as `errnoOf` says.
   */
  serve(context: Context, node: TreeNode): number;
}

/** The kernel refuses an answer whose error is 512 or more (fuse_dev_do_write); libuv has some beyond 4000. */
const FIRST_INVALID_ERRNO = 512;

/**
 * The positive errno to answer with where serving threw `error`. A payload's ENOSYS must not pass: it would end the
 * operation for the whole mount.
 */
export function replyErrno(error: unknown): number {
  const code = errnoOf(error);
  return code > 0 && code < FIRST_INVALID_ERRNO && code !== errno.ENOSYS ? code : errno.EIO;
}
