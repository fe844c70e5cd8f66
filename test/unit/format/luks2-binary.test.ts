import fc from 'fast-check';
import t from 'tap';
import { parseJsonArea } from '../../../lib/format/json.js';
import {
  BINARY_HEADER_BYTES,
  checkChecksum,
  decodeBinaryHeader,
  encodeCopy,
  HDR_SIZES_BYTES,
} from '../../../lib/format/luks2-binary.js';

const ascii = (maxLength: number) =>
  fc.stringMatching(/^[\x20-\x7e]*$/, { maxLength }).map((text) => text.slice(0, maxLength));

const headers = fc.record(
  {
    hdrSizeBytes: fc.constantFrom(...HDR_SIZES_BYTES.slice(0, 3)),
    seqid: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    label: ascii(47),
    checksumAlgorithm: fc.constantFrom('sha256', 'sha512', 'sha1'),
    salt: fc.uint8Array({ minLength: 64, maxLength: 64 }).map((salt) => Buffer.from(salt)),
    uuid: ascii(39),
    subsystem: ascii(47),
  },
  { noNullPrototype: true },
);

t.test('decode undoes encode, and the checksum holds', async (t) => {
  fc.assert(
    fc.property(headers, fc.constantFrom('primary' as const, 'secondary' as const), (header, copy) => {
      const bytes = encodeCopy(header, '{"a":1}', copy, header.checksumAlgorithm);
      const offsetBytes = copy === 'primary' ? 0 : header.hdrSizeBytes;
      const decoded = decodeBinaryHeader(bytes, copy, offsetBytes);
      t.strictSame(decoded, header);
      t.equal(checkChecksum(bytes, header.checksumAlgorithm), null);
      t.strictSame(parseJsonArea(bytes.subarray(BINARY_HEADER_BYTES)), { a: 1 });
    }),
    { numRuns: 30 },
  );
});

t.test('a change of any one byte is noticed', async (t) => {
  const [header] = fc.sample(headers, { numRuns: 1, seed: 1 });
  const bytes = encodeCopy({ ...header!, checksumAlgorithm: 'sha256' }, '{}', 'primary', 'sha256');
  for (const at of [6, 24, 300, 448, 479, 512, 4095, 4096, 5000, bytes.length - 1]) {
    bytes[at]! ^= 1;
    t.not(checkChecksum(bytes, 'sha256'), null, `byte ${at}`);
    bytes[at]! ^= 1;
  }
});
