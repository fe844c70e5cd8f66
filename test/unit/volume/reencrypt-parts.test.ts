/**
 * The arithmetic of a reencryption: whatever the sizes, its steps cover the data once and without a gap, and the parts
 * always make up the whole.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  cool,
  heat,
  hotExtent,
  partsOf,
  type ReencryptionState,
} from '../../../lib/volume/reencrypt-parts.js';

const UNIT_BYTES = 4096;

const runs = fc.record({
  direction: fc.constantFrom('forward' as const, 'backward' as const),
  isDynamic: fc.boolean(),
  sectors: fc.integer({ min: 1, max: 400 }),
  zoneBytes: fc.integer({ min: 1, max: 600_000 }),
});

function begin({
  direction,
  isDynamic,
  sectors,
}: {
  direction: 'forward' | 'backward';
  isDynamic: boolean;
  sectors: number;
}) {
  return { direction, isDynamic, totalBytes: sectors * 512, doneBytes: 0, hotBytes: 0 };
}

/** The parts are a row from 0 to the end, in the direction's order, and only its end can be open. */
function checkParts(state: ReencryptionState): void {
  const parts = partsOf(state);
  const order = state.direction === 'forward' ? ['new', 'hot', 'old'] : ['old', 'hot', 'new'];
  let at = 0;
  for (const [index, { offsetBytes, sizeBytes }] of parts.entries()) {
    if (offsetBytes !== at) throw new Error(`a gap at ${at}`);
    const isLast = index === parts.length - 1;
    if (sizeBytes === 'dynamic' && !(isLast && state.isDynamic)) throw new Error('open within the row');
    at = sizeBytes === 'dynamic' ? state.totalBytes : at + sizeBytes;
  }
  if (at !== state.totalBytes) throw new Error(`the row ends at ${at}`);
  const names = parts.map((part) => part.state);
  const expected = order.filter((name) => names.includes(name as 'new'));
  if (names.join() !== expected.join()) throw new Error(`parts in the order ${names}`);
}

t.test('steps cover everything once, in whole units from the start', async (t) => {
  fc.assert(
    fc.property(runs, (run) => {
      let state: ReencryptionState = begin(run);
      const covered: [number, number][] = [];
      while (state.doneBytes < state.totalBytes) {
        checkParts(state);
        const hot = heat(state, run.zoneBytes, UNIT_BYTES);
        checkParts(hot);
        const { offsetBytes, sizeBytes } = hotExtent(hot);
        if (sizeBytes <= 0 || sizeBytes > Math.max(run.zoneBytes, UNIT_BYTES))
          throw new Error(`a zone of ${sizeBytes}`);
        if (offsetBytes % UNIT_BYTES !== 0) throw new Error(`a zone at ${offsetBytes}`);
        covered.push([offsetBytes, offsetBytes + sizeBytes]);
        state = cool(hot);
      }
      checkParts(state);
      covered.sort(([a], [b]) => a - b);
      const ends = [0, ...covered.map(([, end]) => end)];
      return covered.every(([start], index) => start === ends[index]) && ends.at(-1) === state.totalBytes;
    }),
  );
  t.pass('for all sizes and zones');
});

t.test('an open end is never a hot zone', async (t) => {
  const whole = begin({ direction: 'forward', isDynamic: true, sectors: 8 });
  t.strictSame(partsOf(whole), [{ state: 'old', offsetBytes: 0, sizeBytes: 'dynamic' }]);
  t.strictSame(partsOf(heat(whole, 1 << 20, UNIT_BYTES)), [
    { state: 'hot', offsetBytes: 0, sizeBytes: 4096 },
  ]);
  t.strictSame(partsOf(cool(heat(whole, 1 << 20, UNIT_BYTES))), [
    { state: 'new', offsetBytes: 0, sizeBytes: 'dynamic' },
  ]);
});
