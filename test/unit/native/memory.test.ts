/**
 * What locking a heap object locks: itself and what it came to point to, but nothing that stale words in it point to.
 */
import t from 'tap';
import { findFunction, koffi } from '../../../lib/native/library.js';
import { addressOf, copyHeapObject, lockHeapObject } from '../../../lib/native/memory.js';
import { isLockedHere } from '../../kit/process-memory.js';

const OBJECT_BYTES = 64;
const malloc = findFunction<(sizeBytes: number) => number>('uint64_t malloc(size_t size)');
const skip = koffi && malloc ? false : 'no native code can be called';

/** The address of a page that belongs to nothing else. */
function makePage(): number {
  return addressOf(Buffer.from(new WebAssembly.Memory({ initial: 1, maximum: 1 }).buffer))!;
}

t.test('the pages of an object and its pointees, not those of stale words', { skip }, (t) => {
  const object = malloc!(OBJECT_BYTES);
  const words = new BigUint64Array(koffi!.view(BigInt(object), OBJECT_BYTES));
  const [stale, written] = [makePage(), makePage()];
  words.fill(0n);
  words[1] = BigInt(stale);
  const before = copyHeapObject(object);
  words[3] = BigInt(written);
  t.ok(lockHeapObject(object, before));
  t.ok(isLockedHere(object), 'the object');
  t.ok(isLockedHere(written), 'what it was made to point to');
  t.notOk(isLockedHere(stale), 'what was there before is left alone');
  t.end();
});
