/**
 * FUSE_INIT: the one exchange that settles version, capabilities and sizes for the whole mount.
 */
import createDebug from 'debug';
import { PAGE_BYTES } from '../native/page-size.js';
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_OLDEST_MINOR_VERSION,
  fuse_init_in,
  fuse_init_out,
  INIT_FLAGS,
} from './abi.js';
import type { InitFlagWords } from './cache-policy.js';
import { type Context, errno, type Operation } from './operation.js';

const debug = createDebug('luksfuse:fuse');

/** The largest READ and WRITE: what 256 pages of 4 KiB, the kernel's limit (fs.fuse.max_pages_limit), amount to. */
export const MAX_WRITE_BYTES = 1024 * 1024;
const MAX_READAHEAD_BYTES = 16 * 1024 * 1024;
/**
 * Read-ahead and asynchronous direct I/O wait in the kernel beyond this many. The default of 12 would cap the
 * queue depth; 256 is deeper than any pool of workers.
 */
const MAX_BACKGROUND = 256;
const CONGESTION_THRESHOLD = 192;

function names({ flags, flags2 }: InitFlagWords): string {
  return INIT_FLAGS.filter(({ bit }) => ((bit < 32 ? flags : flags2) >>> (bit % 32)) & 1)
    .map(({ name }) => name)
    .join(' ');
}

/**
 * Answers with what `policy` grants. The handshake does so before there is a tree to serve.
 * @param pageBytes of the machine: what the kernel reads at once it counts in pages
 */
export function serveInit({ frame, policy }: Pick<Context, 'frame' | 'policy'>, pageBytes: number): number {
  const major = frame.argumentU32(fuse_init_in.major);
  const minor = frame.argumentU32(fuse_init_in.minor);
  if (major < FUSE_KERNEL_VERSION) return -errno.EPROTO;
  if (major === FUSE_KERNEL_VERSION && minor < FUSE_OLDEST_MINOR_VERSION) return -errno.EPROTO;
  const maxReadahead = frame.argumentU32(fuse_init_in.max_readahead);
  const hasFlags2 = frame.argumentBytes >= fuse_init_in.flags2 + 4;
  const granted = policy.grantedFlags({
    flags: frame.argumentU32(fuse_init_in.flags),
    flags2: hasFlags2 ? frame.argumentU32(fuse_init_in.flags2) : 0,
  });
  frame.clearBody(fuse_init_out.SIZE);
  frame.setU32(fuse_init_out.major, FUSE_KERNEL_VERSION);
  frame.setU32(fuse_init_out.minor, FUSE_KERNEL_MINOR_VERSION);
  // A kernel with a larger major takes our version from this and asks again ("Version negotiation", fuse.h).
  if (major > FUSE_KERNEL_VERSION) return fuse_init_out.SIZE;
  frame.setU32(fuse_init_out.max_readahead, Math.min(maxReadahead, MAX_READAHEAD_BYTES));
  frame.setU32(fuse_init_out.flags, granted.flags);
  frame.setTwoU16(fuse_init_out.max_background, MAX_BACKGROUND, CONGESTION_THRESHOLD);
  frame.setU32(fuse_init_out.max_write, MAX_WRITE_BYTES);
  frame.setU32(fuse_init_out.time_gran, 1);
  frame.setTwoU16(fuse_init_out.max_pages, MAX_WRITE_BYTES / pageBytes, 0);
  frame.setU32(fuse_init_out.flags2, granted.flags2);
  debug('kernel speaks %d.%d; granted %s', major, minor, names(granted));
  return fuse_init_out.SIZE;
}

export const initOperation: Operation = {
  argumentBytes: fuse_init_in.SIZE,
  serve: (context) => serveInit(context, PAGE_BYTES),
};
