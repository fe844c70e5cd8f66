/**
 * Rows on the mount itself: how it ends, and what is left.
 */
import fs from 'node:fs';
import { findMount } from '../kit/mounts.js';
import { outcome, type Row, SIZE } from './conformance.js';
import { FAIL_SYNC, SYNC_COUNT } from './dev-fuse-store.js';

/** The code of what a promise rejects with. */
async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  );
}

export const MOUNT_ROWS: readonly Row[] = [
  {
    name: 'the mount table tells what it is',
    observe: ({ mountpoint }) => {
      const { type, source, options } = findMount(mountpoint)!;
      const wanted = ['rw', 'nosuid', 'nodev', 'noatime', 'default_permissions'];
      return [
        type,
        source,
        wanted.filter((option) => !options.includes(option)),
        options.includes('allow_other'),
      ];
    },
    expected: ['fuse.luksfuse', 'test-store', [], false],
  },
  {
    name: 'counters count',
    mount: {},
    observe: async (mounted) => {
      fs.readFileSync(mounted.path);
      fs.writeFileSync(mounted.path, 'x', { flag: 'r+' });
      const { requests, readBytes, writtenBytes, errors } = await mounted.activity();
      return [requests > 0, readBytes >= SIZE, writtenBytes, errors];
    },
    expected: [true, true, 1, 0],
  },
  {
    name: 'after unmounting what was beneath is there again, and the store was synced once',
    mount: {},
    observe: async (mounted) => {
      await mounted.unmount();
      const { mountpoint, kind } = mounted;
      const beneath =
        kind === 'file' ? fs.readFileSync(mountpoint, 'utf8') : fs.readdirSync(mountpoint).join();
      return [
        findMount(mountpoint),
        beneath === (kind === 'file' ? 'beneath' : ''),
        await mounted.fault(SYNC_COUNT),
      ];
    },
    expected: [null, true, 1],
  },
  {
    name: 'the error of the last sync is that of the session',
    mount: {},
    observe: async (mounted) => {
      await mounted.setFault(FAIL_SYNC, 1);
      return [await failure(mounted.unmount()), (await mounted.closed())?.code];
    },
    expected: ['ENOSPC', 'ENOSPC'],
  },
  {
    name: 'a mount in use stays; lazily it goes, and the open file goes on',
    mount: {},
    observe: async (mounted) => {
      const fd = fs.openSync(mounted.path, 'r+');
      const seen: unknown[] = [];
      try {
        seen.push(await failure(mounted.unmount()));
        await mounted.unmount({ lazy: true });
        seen.push(findMount(mounted.mountpoint));
        seen.push(outcome(() => fs.readSync(fd, Buffer.alloc(100), 0, 100, 0)));
        seen.push(outcome(() => fs.writeSync(fd, 'x')));
      } finally {
        fs.closeSync(fd);
      }
      return [...seen, await mounted.closed()];
    },
    expected: ['BUSY', null, 100, 1, null],
  },
];
