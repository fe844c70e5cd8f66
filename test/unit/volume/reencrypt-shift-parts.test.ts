/**
 * The arithmetic of an encryption that moves its data: whatever the sizes, its steps cover the data once, and none writes
 * where it, or a later one, still reads.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  coolShifted,
  heatShifted,
  hotShiftedExtent,
  hotSourceBytes,
  type ShiftState,
  shiftedPartsOf,
} from '../../../lib/volume/reencrypt-shift-parts.js';

const beginnings = fc
  .record({ sectors: fc.integer({ min: 1, max: 4000 }), shiftSectors: fc.integer({ min: 1, max: 900 }) })
  .map(({ sectors, shiftSectors }): ShiftState => {
    const [totalBytes, shiftBytes] = [sectors * 512, shiftSectors * 512];
    return { totalBytes, shiftBytes, movedOffsetBytes: totalBytes + shiftBytes, doneBytes: 0, hotBytes: 0 };
  });

/** The parts are a row that covers the data, and those on the device do not lie over one another. */
function checkParts(state: ShiftState): void {
  const parts = shiftedPartsOf(state).map((part) => ({
    ...part,
    sizeBytes: part.sizeBytes === 'dynamic' ? state.totalBytes : part.sizeBytes,
  }));
  let at = 0;
  for (const { dataOffsetBytes, sizeBytes } of parts) {
    if (dataOffsetBytes !== at) throw new Error(`a gap at ${at} of the data`);
    at += sizeBytes;
  }
  if (at !== state.totalBytes) throw new Error(`the row ends at ${at}`);
  const onDevice = parts.toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  for (const [index, { offsetBytes, sizeBytes }] of onDevice.entries()) {
    const next = onDevice[index + 1];
    if (next && offsetBytes + sizeBytes > next.offsetBytes) throw new Error('parts lie over one another');
    if (offsetBytes < Math.min(state.shiftBytes, state.totalBytes))
      throw new Error('a part within the header');
  }
}

t.test('steps cover the data once and leave their sources whole', async (t) => {
  fc.assert(
    fc.property(beginnings, (beginning) => {
      let state = beginning;
      let endBytes = state.totalBytes;
      while (state.doneBytes < state.totalBytes) {
        checkParts(state);
        const hot = heatShifted(state);
        checkParts(hot);
        const { offsetBytes, sizeBytes } = hotShiftedExtent(hot);
        if (sizeBytes <= 0 || offsetBytes + sizeBytes !== endBytes)
          throw new Error(`a gap before ${endBytes}`);
        const [from, to] = [hotSourceBytes(hot), offsetBytes + hot.shiftBytes];
        if (from < to + sizeBytes && to < from + sizeBytes)
          throw new Error(`${to} is written while it is read`);
        endBytes = offsetBytes;
        state = coolShifted(hot);
      }
      checkParts(state);
      return endBytes === 0;
    }),
  );
  t.pass('for all sizes and shifts');
});

t.test('the head comes last, from where it was moved; then the volume is open', async (t) => {
  const left = {
    totalBytes: 40960,
    shiftBytes: 8192,
    movedOffsetBytes: 49152,
    doneBytes: 32768,
    hotBytes: 0,
  };
  const hot = heatShifted(left);
  t.equal(hotSourceBytes(hot), 49152);
  t.strictSame(shiftedPartsOf(coolShifted(hot)), [
    { state: 'new', dataOffsetBytes: 0, offsetBytes: 8192, sizeBytes: 'dynamic' },
  ]);
});
