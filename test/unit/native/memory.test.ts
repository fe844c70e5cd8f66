/**
 * What locking a heap object locks: itself and what it came to point to, but no page behind that, and nothing that stale
 * words in it point to.
 */
import t from 'tap';
import { findFunction, koffi } from '../../../lib/native/library.js';
import { copyHeapObject, lockHeapObject } from '../../../lib/native/memory.js';
import { PAGE_BYTES } from '../../../lib/native/page-size.js';
import { isLockedHere } from '../../kit/process-memory.js';

const OBJECT_BYTES = 64;
const allocate = findFunction<(alignBytes: number, sizeBytes: number) => number>(
  'uint64_t aligned_alloc(size_t alignment, size_t size)',
);
const skip = koffi && allocate ? false : 'no native code can be called';

/** An object on a page of its own, with another such page behind it. */
function makeObject(): number {
  return allocate!(PAGE_BYTES, 2 * PAGE_BYTES - 64);
}

t.test('the pages of an object and its pointees, and no others', { skip }, (t) => {
  const [object, stale, written] = [makeObject(), makeObject(), allocate!(PAGE_BYTES, 2048)];
  const behind = makeObject();
  const words = new BigUint64Array(koffi!.view(BigInt(object), OBJECT_BYTES));
  words.fill(0n);
  words[1] = BigInt(stale);
  const before = copyHeapObject(object);
  words[3] = BigInt(written);
  words[4] = 123_456n;
  t.ok(lockHeapObject(object, before), 'locks');
  t.ok(isLockedHere(object), 'the object');
  t.ok(isLockedHere(written), 'what it was made to point to');
  t.notOk(isLockedHere(written + PAGE_BYTES), 'not what lies behind that');
  t.notOk(isLockedHere(stale), 'not what was there before');
  t.notOk(isLockedHere(behind), 'nor anything else');
  t.end();
});
