/**
 * The arithmetic of a decryption that gives back the room of its header: whatever the sizes, its steps cover the data once,
 * and none writes where it, or a later one, still reads.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  coolGiveback,
  type GivebackState,
  givebackPartsOf,
  heatGiveback,
  hotGivebackExtent,
  isHeadsTurn,
} from '../../../lib/volume/reencrypt-giveback-parts.js';

const UNIT_BYTES = 512;

const cases = fc
  .record({
    sectors: fc.integer({ min: 1, max: 4000 }),
    shiftSectors: fc.integer({ min: 1, max: 900 }),
    headSectors: fc.integer({ min: 1, max: 900 }),
    zoneBytes: fc.integer({ min: 1, max: 300_000 }),
  })
  .map(({ sectors, shiftSectors, headSectors, zoneBytes }) => {
    const headBytes = Math.min(sectors, shiftSectors, headSectors) * UNIT_BYTES;
    const beginning: GivebackState = {
      ...{ totalBytes: sectors * UNIT_BYTES, shiftBytes: shiftSectors * UNIT_BYTES, headBytes },
      ...{ doneBytes: 0, hotBytes: 0 },
    };
    return { beginning, zoneBytes };
  });

/** The parts are a row that covers the data, within the payload, and do not lie over one another. */
function checkParts(state: GivebackState): void {
  const { totalBytes, shiftBytes } = state;
  const payloadBytes = totalBytes + shiftBytes;
  let at = 0;
  const places: [start: number, end: number][] = [];
  for (const { dataOffsetBytes, offsetBytes, sizeBytes } of givebackPartsOf(state)) {
    if (dataOffsetBytes !== at) throw new Error(`a gap at ${at} of the data`);
    const size = sizeBytes === 'dynamic' ? totalBytes - dataOffsetBytes : sizeBytes;
    at += size;
    places.push([offsetBytes, offsetBytes + size]);
  }
  if (at !== totalBytes) throw new Error(`the row ends at ${at}`);
  for (const [index, [start, end]] of places.entries()) {
    if (end > payloadBytes) throw new Error('a part beyond the payload');
    if (index > 0 && start < places[index - 1]![1]) throw new Error('parts lie over one another');
  }
}

t.test('steps cover the data once, the head last, and leave their sources whole', async (t) => {
  fc.assert(
    fc.property(cases, ({ beginning, zoneBytes }) => {
      let state = beginning;
      let next = state.headBytes;
      while (state.doneBytes < state.totalBytes) {
        checkParts(state);
        const hot = heatGiveback(state, zoneBytes, UNIT_BYTES);
        checkParts(hot);
        const { offsetBytes, sizeBytes } = hotGivebackExtent(hot);
        const isHead = isHeadsTurn(hot);
        if (sizeBytes <= 0 || sizeBytes % UNIT_BYTES !== 0) throw new Error(`a step of ${sizeBytes}`);
        if (offsetBytes !== (isHead ? 0 : next)) throw new Error(`a gap before ${offsetBytes}`);
        if (isHead && next !== state.totalBytes) throw new Error('the head comes too early');
        if (!isHead && sizeBytes > state.shiftBytes) throw new Error('it is written while it is read');
        if (!isHead) next += sizeBytes;
        state = coolGiveback(hot);
      }
      checkParts(state);
      return next === state.totalBytes;
    }),
  );
  t.pass('for all sizes, shifts, heads and zones');
});

t.test('the row of segments, from the beginning to the end', async (t) => {
  const state = { totalBytes: 40960, shiftBytes: 16384, headBytes: 8192, doneBytes: 0, hotBytes: 0 };
  const hot = { ...state, doneBytes: 16384, hotBytes: 8192 };
  t.strictSame(givebackPartsOf(hot), [
    { state: 'old', dataOffsetBytes: 0, offsetBytes: 0, sizeBytes: 8192 },
    { state: 'new', dataOffsetBytes: 8192, offsetBytes: 8192, sizeBytes: 16384 },
    { state: 'hot', dataOffsetBytes: 24576, offsetBytes: 24576, sizeBytes: 8192 },
    { state: 'old', dataOffsetBytes: 32768, offsetBytes: 49152, sizeBytes: 'dynamic' },
  ]);
  t.strictSame(givebackPartsOf({ ...state, doneBytes: 32768, hotBytes: 8192 }), [
    { state: 'hot', dataOffsetBytes: 0, offsetBytes: 0, sizeBytes: 8192 },
    { state: 'new', dataOffsetBytes: 8192, offsetBytes: 8192, sizeBytes: 'dynamic' },
  ]);
  t.strictSame(givebackPartsOf({ ...state, doneBytes: 40960 }), [
    { state: 'new', dataOffsetBytes: 0, offsetBytes: 0, sizeBytes: 'dynamic' },
  ]);
});
