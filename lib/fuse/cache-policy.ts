/**
 * What the kernel may keep of the file, and the capabilities, flags and timeouts that say so to it.
 * Knows the protocol's numbers, no request.
 */
import { constants } from 'node:fs';
import { FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_PARALLEL_DIRECT_WRITES, INIT_FLAGS } from './abi.js';
import type { OpenHandles } from './open-handles.js';

/**
 * - `auto`: reads are kept in the page cache; a write(2) returns when the payload has the bytes.
 * - `none`: nothing is kept; every read(2) and write(2) reaches the payload.
 * - `writeback`: writes are kept and sent later, in large pieces. fsync(2) and close(2) report their
 *   errors. The kernel owns the size then: a write past the end is accepted and fails only when it is sent.
 */
export type CacheMode = 'auto' | 'none' | 'writeback';

export interface InitFlagWords {
  flags: number;
  flags2: number;
}

/** Names, node ids and the size never change behind the kernel: a day stands for ever, far from any overflow. */
const VALID_SECONDS = 86_400;

export class CachePolicy {
  readonly mode: CacheMode;
  readonly validSeconds = VALID_SECONDS;

  constructor(mode: CacheMode) {
    this.mode = mode;
  }

  /**
   * fuse_open_out.open_flags for an open(2) with these flags, counted into `handles`. O_DIRECT goes past the page
   * cache's code, which would take the inode's lock for each write. A server that died may have kept to itself what it
   * had learnt from `takeStale`, so that for a request that is resent the cache is dropped.
   */
  openFlags(openFlags: number, handles: OpenHandles, isResent = false): number {
    const isDirect = handles.open(this.mode === 'none' || (openFlags & constants.O_DIRECT) !== 0);
    if (isDirect) return FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
    return handles.takeStale() || isResent ? 0 : FOPEN_KEEP_CACHE;
  }

  /** The capabilities to ask for, of those that the kernel offers. */
  grantedFlags(offered: InitFlagWords): InitFlagWords {
    let flags = 0;
    let flags2 = 0;
    for (const { bit, use } of INIT_FLAGS) {
      if (use !== 'always' && use !== this.mode) continue;
      if (bit < 32) flags |= 1 << bit;
      else flags2 |= 1 << (bit - 32);
    }
    return { flags: (flags & offered.flags) >>> 0, flags2: (flags2 & offered.flags2) >>> 0 };
  }
}
