import fc from 'fast-check';
import t from 'tap';
import { splitAtSectors } from '../../../lib/volume/extents.js';

t.test('ranges at, across and within sector edges', async (t) => {
  const cases: [offset: number, length: number, sector: number, head: number, whole: number, tail: number][] =
    [
      [0, 0, 512, 0, 0, 0],
      [0, 512, 512, 0, 512, 0],
      [0, 511, 512, 0, 0, 511],
      [1, 510, 512, 510, 0, 0],
      [1, 511, 512, 511, 0, 0],
      [1, 512, 512, 511, 0, 1],
      [511, 2, 512, 1, 0, 1],
      [511, 1026, 512, 1, 1024, 1],
      [512, 4096, 4096, 3584, 0, 512],
      [4096, 8192, 4096, 0, 8192, 0],
    ];
  for (const [offset, length, sector, headBytes, wholeBytes, tailBytes] of cases) {
    t.same(
      splitAtSectors(offset, length, sector),
      { headBytes, wholeBytes, tailBytes },
      `${offset}+${length}`,
    );
  }
});

t.test('the parts add up, and the whole sectors lie on edges', async () => {
  fc.assert(
    fc.property(
      fc.maxSafeNat(),
      fc.nat(1 << 21),
      fc.constantFrom(512, 1024, 2048, 4096),
      (offsetBytes, lengthBytes, sectorBytes) => {
        const offset = Math.min(offsetBytes, 2 ** 52);
        const { headBytes, wholeBytes, tailBytes } = splitAtSectors(offset, lengthBytes, sectorBytes);
        return (
          headBytes + wholeBytes + tailBytes === lengthBytes &&
          headBytes < sectorBytes &&
          tailBytes < sectorBytes &&
          wholeBytes % sectorBytes === 0 &&
          (wholeBytes === 0 || (offset + headBytes) % sectorBytes === 0)
        );
      },
    ),
  );
});
