/**
 * A range of a volume that is being reencrypted: which form each part of it has, and that only what is dead is refused.
 */
import t from 'tap';
import { Frontier } from '../../../lib/volume/frontier.js';
import type { SegmentLayout } from '../../../lib/volume/layout.js';
import { MovingRow } from '../../../lib/volume/moving-row.js';
import type { VolumeSegment } from '../../../lib/volume/volume-segment.js';

const SIZE_BYTES = 65536;

function makeSegment(engine: string, sectorSizeBytes: number): VolumeSegment {
  const layout = { startBytes: 0, sizeBytes: SIZE_BYTES, sectorSizeBytes } as SegmentLayout;
  return { layout, engine, read() {}, writeInPlace() {}, discard() {}, destroy() {} };
}

function makeRow() {
  const frontier = new Frontier(Frontier.createMemory());
  const row = new MovingRow([makeSegment('before', 512), makeSegment('behind', 4096)], frontier);
  const partsOf = (offsetBytes: number, lengthBytes: number) => {
    const parts: [string, number, number][] = [];
    row.eachPart(offsetBytes, lengthBytes, ({ engine }, { startBytes, count }) =>
      parts.push([engine, startBytes, count]),
    );
    return parts;
  };
  return { frontier, partsOf };
}

t.test('the parts on both sides of the border', async (t) => {
  const { frontier, partsOf } = makeRow();
  t.strictSame(partsOf(0, 4096), [['behind', 0, 4096]]);
  frontier.moveTo(8192);
  t.strictSame(partsOf(100, 8092), [['before', 100, 8092]]);
  t.strictSame(partsOf(8192, 10), [['behind', 8192, 10]]);
  t.strictSame(
    partsOf(8000, 1000),
    [
      ['before', 8000, 192],
      ['behind', 8192, 808],
    ],
    'a range across it',
  );
  frontier.moveTo(SIZE_BYTES);
  t.strictSame(partsOf(0, SIZE_BYTES), [['before', 0, SIZE_BYTES]]);
});

t.test('what is dead is refused, whole sectors of it, and nothing else', async (t) => {
  const { frontier, partsOf } = makeRow();
  frontier.moveTo(16384);
  for (const [bytes, start, end] of [
    [8192, 16384, 24576],
    [-8192, 8192, 16384],
  ] as const) {
    frontier.killBeyond(bytes);
    t.throws(() => partsOf(start, 1), { code: 'EIO' });
    t.throws(() => partsOf(end - 1, 1), { code: 'EIO' });
    t.throws(() => partsOf(0, SIZE_BYTES), { code: 'EIO' });
    t.equal(partsOf(start - 4096, 4096).length, 1);
    t.equal(partsOf(end, 4096).length, 1);
  }
  frontier.moveTo(16384);
  t.equal(partsOf(0, SIZE_BYTES).length, 2, 'alive again');
});
