import fc from 'fast-check';
import t from 'tap';
import { AREA_ALIGN_BYTES, areaSizeBytes, findGap } from '../../../lib/format/areas.js';
import { checkAreas } from '../../../lib/format/validate.js';

const START = 32768;
const END = 1024 * 1024;

t.test('an area is its stripes in whole blocks', async (t) => {
  t.equal(areaSizeBytes(64, 4000), 258048, 'as cryptsetup makes it for a 512-bit key');
  t.equal(areaSizeBytes(32, 4000), 131072);
});

t.test('areas placed one after the other, some removed between, never overlap', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 60 }).map((blocks) => blocks * AREA_ALIGN_BYTES));
  fc.assert(
    fc.property(sizes, fc.array(fc.boolean(), { minLength: 5 }), (wanted, removed) => {
      let taken: { name: string; offsetBytes: number; sizeBytes: number }[] = [];
      for (const [index, sizeBytes] of wanted.entries()) {
        const place = findGap(taken, sizeBytes, START, END);
        const used = taken.reduce((sum, area) => sum + area.sizeBytes, 0);
        if (!place && taken.length === 0) return sizeBytes > END - START;
        if (!place && used === 0) return false;
        if (place) taken.push({ name: String(index), ...place });
        if (checkAreas(taken, START, END) !== null) return false;
        if (removed[index % removed.length]) taken = taken.slice(1);
      }
      return true;
    }),
  );
});

t.test('the first gap that is large enough is taken', async (t) => {
  const taken = [
    { offsetBytes: 40960, sizeBytes: 4096 },
    { offsetBytes: 57344, sizeBytes: 4096 },
  ];
  t.strictSame(findGap(taken, 8192, START, END), { offsetBytes: 32768, sizeBytes: 8192 });
  t.strictSame(findGap(taken, 12288, START, END), { offsetBytes: 45056, sizeBytes: 12288 });
  t.strictSame(findGap(taken, 16384, START, END), { offsetBytes: 61440, sizeBytes: 16384 });
  t.equal(findGap(taken, END, START, END), null);
});
