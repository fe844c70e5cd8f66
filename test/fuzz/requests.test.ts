/**
 * Requests of a kernel that means harm, or of one that is newer than we know: any operation, any arguments, any length.
 * Each is answered in the protocol's form or not at all, and touches nothing outside of the file.
 */
import fc from 'fast-check';
import t from 'tap';
import { fuzz } from '../kit/fuzz.js';
import { Harness, MAX_WRITE, STORE_BYTES } from '../unit/fuse/request.js';

const HEADER_BYTES = 40;
/** Beyond the highest operation that there is. */
const MAX_OPCODE = 60;
const MAX_ERRNO = 511;
/** Operations that the protocol answers not at all: FORGET, INTERRUPT, BATCH_FORGET, NOTIFY_REPLY. */
const UNANSWERED = [2, 36, 42, 41];

const word = fc.oneof(
  fc.constantFrom(
    0,
    1,
    2,
    3,
    512,
    STORE_BYTES - 1,
    STORE_BYTES,
    MAX_WRITE,
    MAX_WRITE + 1,
    0x7fffffff,
    0xffffffff,
  ),
  fc.integer({ min: 0, max: 0xffffffff }),
);

const request = fc.record({
  opcode: fc.oneof({ weight: 20, arbitrary: fc.nat({ max: MAX_OPCODE }) }, { weight: 1, arbitrary: word }),
  node: fc.oneof({ weight: 8, arbitrary: fc.constantFrom(1, 2) }, { weight: 1, arbitrary: word }),
  words: fc.array(word, { maxLength: 40 }),
  tail: fc.uint8Array({ maxLength: 64 }),
  /** How much longer the header says that it is. */
  lie: fc.oneof(
    { weight: 8, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -50, max: 50 }) },
  ),
});

type Request = typeof request extends fc.Arbitrary<infer R> ? R : never;

function encode({ opcode, node, words, tail, lie }: Request): Buffer {
  const length = HEADER_BYTES + words.length * 4 + tail.length;
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(Math.max(0, length + lie), 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(0x8000_0000_1234_5679n, 8);
  bytes.writeUInt32LE(node, 16);
  bytes.writeUInt32LE(1000, 24);
  for (const [index, value] of words.entries()) bytes.writeUInt32LE(value, HEADER_BYTES + index * 4);
  bytes.set(tail, length - tail.length);
  return bytes;
}

/** Throws where the answer is not one that the kernel takes. */
function checkReply(sent: Request, reply: Buffer | null): void {
  if (!reply) {
    if (sent.lie !== 0 || UNANSWERED.includes(sent.opcode)) return;
    throw new Error('no answer: the caller would wait for ever');
  }
  const error = reply.readInt32LE(4);
  if (reply.readUInt32LE(0) !== reply.length) throw new Error('a wrong length');
  if (reply.readBigUInt64LE(8) !== 0x8000_0000_1234_5679n) throw new Error('an answer to another request');
  if (error > 0 || error < -MAX_ERRNO) throw new Error(`error ${error}`);
  if (error !== 0 && reply.length !== 16) throw new Error('an error with a body');
}

for (const [name, options] of Object.entries({
  'a directory': {},
  'a file': { fileName: null },
  'without cache': { cache: 'none' as const },
  'with writeback': { cache: 'writeback' as const },
  'for one user': { onlyUser: 1001 },
})) {
  t.test(`one request after the other, ${name}`, async (t) => {
    const harness = new Harness(options);
    await fuzz(t, request, (sent) => {
      checkReply(sent, harness.sendRaw(encode(sent)));
      if (harness.store.bytes.length !== STORE_BYTES) throw new Error('the file has another size');
      harness.store.calls.length = 0;
    });
  });
}

t.test('bytes of any kind', async (t) => {
  const harness = new Harness();
  await fuzz(t, fc.uint8Array({ maxLength: 256 }), (bytes) => {
    const reply = harness.sendRaw(bytes);
    if (reply && reply.readUInt32LE(0) !== reply.length) throw new Error('a wrong length');
  });
});
