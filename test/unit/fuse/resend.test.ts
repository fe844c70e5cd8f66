/**
 * Requests that the kernel sends once more, because the server that had them died: whatever that one did with them, the
 * outcome is right or errs on the safe side.
 */
import { constants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import t from 'tap';
import { systemError } from '../../../lib/errors.js';
import * as abi from '../../../lib/fuse/abi.js';
import { SyncErrors } from '../../../lib/fuse/sync-errors.js';
import { Harness } from './request.js';

const { O_DIRECT, O_RDWR } = constants;
const { errno } = osConstants;
const RESENT = 1n << 63n;
const FILE = 2n;

function open(h: Harness, flags: number): number {
  return h.send(abi.FUSE_OPEN, FILE, flags, 0)!.body.readUInt32LE(abi.fuse_open_out.open_flags);
}

function release(h: Harness): void {
  h.send(abi.FUSE_RELEASE, FILE, 0n, 0, 0, 0n);
}

/** Sends what `send` sends, as the kernel does after it was asked to resend. */
function again<T>(h: Harness, send: () => T): T {
  h.unique |= RESENT;
  const result = send();
  h.unique &= ~RESENT;
  return result;
}

t.test('the mark is echoed', async (t) => {
  const h = new Harness();
  const reply = again(h, () => h.send(abi.FUSE_GETATTR, FILE, 0, 0, 0n)!);
  t.equal(reply.unique, h.unique | RESENT);
});

t.test('a handle that may have been counted out stays counted in', async (t) => {
  const h = new Harness();
  open(h, O_RDWR);
  open(h, O_RDWR);
  release(h);
  again(h, () => release(h));
  t.notOk(open(h, O_RDWR | O_DIRECT) & abi.FOPEN_DIRECT_IO, 'one is still open through the cache');
});

t.test('what the cache holds is dropped where it may be stale', async (t) => {
  const h = new Harness();
  t.equal(open(h, O_RDWR), abi.FOPEN_KEEP_CACHE);
  t.equal(
    again(h, () => open(h, O_RDWR)),
    0,
  );
});

t.test('an O_TRUNC whose open was used up', async (t) => {
  const h = new Harness();
  const truncate = () =>
    h.send(abi.FUSE_SETATTR, FILE, abi.FATTR_SIZE, 0, 0n, 0n, Buffer.alloc(abi.fuse_setattr_in.SIZE - 24))!;
  open(h, O_RDWR);
  t.equal(truncate().error, 0);
  t.not(truncate().error, 0);
  t.equal(again(h, truncate).error, 0);
});

/** Opens the file; what its fsync says then. */
function opened(h: Harness): () => number {
  const fh = h.send(abi.FUSE_OPEN, FILE, O_RDWR, 0)!.body.readBigUInt64LE(abi.fuse_open_out.fh);
  return () => h.send(abi.FUSE_FSYNC, FILE, fh, 0, 0)!.error;
}

t.test('an fsync that failed and was never answered', async (t) => {
  const h = new Harness();
  const [one, other] = [opened(h), opened(h)];
  t.equal(one(), 0);
  h.store.failure = systemError('ENOSPC', 'fdatasync');
  t.equal(one(), errno.ENOSPC, 'this answer is lost');
  h.store.failure = null;
  t.equal(again(h, one), errno.ENOSPC, 'there is nothing to sync any more');
  t.equal(one(), 0, 'told once');
  t.equal(other(), errno.ENOSPC, 'and to everybody');
});

t.test('a server that died in a sync', async (t) => {
  const memory = SyncErrors.createMemory();
  const dead = new SyncErrors(memory);
  const handle = dead.open();
  let left = memory;
  dead.run(handle, false, () => {
    left = memory.slice(0); // as it is for the next server: this sync never returns there
  });
  const next = new SyncErrors(left);
  let looks = 0;
  const look = () => {
    looks += 1;
    throw systemError('EIO', 'fdatasync');
  };
  next.judgeInterrupted(look);
  t.throws(() => next.run(handle, true, () => {}), { code: 'EIO' });
  next.judgeInterrupted(look);
  t.equal(looks, 1, 'only where one was under way');
  next.run(handle, false, () => {});
});
