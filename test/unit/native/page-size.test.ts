import { execFileSync } from 'node:child_process';
import t from 'tap';
import { makeProcessUndumpable } from '../../../lib/native/memory.js';
import { derivePageBytes, PAGE_BYTES } from '../../../lib/native/page-size.js';

t.test('the size of a page, with native code and without', (t) => {
  const expected = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));
  t.equal(PAGE_BYTES, expected);
  makeProcessUndumpable();
  t.equal(derivePageBytes(), expected);
  t.end();
});
