import { constants } from 'node:fs';
import t from 'tap';
import { FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE } from '../../../lib/fuse/abi.js';
import { CachePolicy } from '../../../lib/fuse/cache-policy.js';
import { OpenHandles } from '../../../lib/fuse/open-handles.js';

const { O_DIRECT, O_RDWR } = constants;

t.test('the first handle decides whether the page cache is used, until the last is closed', async (t) => {
  const handles = new OpenHandles(OpenHandles.createMemory());
  const policy = new CachePolicy('auto');
  const open = (flags: number) => policy.openFlags(flags, handles);
  t.equal(open(O_RDWR), FOPEN_KEEP_CACHE);
  t.equal(open(O_RDWR | O_DIRECT), FOPEN_KEEP_CACHE, 'O_DIRECT follows a buffered handle');
  handles.release();
  t.equal(open(O_RDWR | O_DIRECT), FOPEN_KEEP_CACHE);
  handles.release();
  handles.release();
  t.ok(open(O_RDWR | O_DIRECT) & FOPEN_DIRECT_IO);
  t.ok(open(O_RDWR) & FOPEN_DIRECT_IO, 'a buffered handle follows O_DIRECT');
  handles.release();
  handles.release();
  t.equal(open(O_RDWR), 0, 'what the cache holds is dropped after that');
  handles.release();
  t.equal(open(O_RDWR), FOPEN_KEEP_CACHE, 'once');
});

t.test('a release too many changes nothing', async (t) => {
  const handles = new OpenHandles(OpenHandles.createMemory());
  handles.release();
  t.equal(handles.open(true), true);
  handles.release();
  handles.release();
  t.equal(handles.open(false), false);
});
