/**
 * Which requests are answered together, over a kernel whose queue is a list: it notes what is asked of it, in order.
 */
import t from 'tap';
import { FUSE_FSYNC, FUSE_READ, FUSE_WRITE } from '../../../lib/fuse/abi.js';
import { Burst } from '../../../lib/fuse/burst.js';
import { CachePolicy } from '../../../lib/fuse/cache-policy.js';
import { Counters } from '../../../lib/fuse/counters.js';
import { describeTree, PlainFile } from '../../../lib/fuse/plain-file.js';
import { Server } from '../../../lib/fuse/server.js';
import type { Frame } from '../../../lib/fuse/wire.js';
import { encodeFields, type Field, MAX_WRITE, MemoryStore } from './request.js';

const FILE_NODE = 2n;
/** As many are answered one by one before the queue is looked at. */
const PAUSE = 16;

class Kernel {
  readonly store = new MemoryStore();
  readonly queue: Buffer[] = [];
  /** `next` and `try` for what a worker asks, `<` for an answer's number and the descriptor it came by. */
  log: string[] = [];
  readonly bodies = new Map<number, Buffer>();
  isWanted = true;
  nowMs = 0;
  onAnswer = (_unique: number) => {};
  readonly #burst: Burst;

  constructor({ hasPrompt = true } = {}) {
    const waiting = {
      receive: (frame: Frame) => this.#take(frame, 'next') || null,
      send: (frame: Frame, bytes: number) => this.#answer(frame, bytes, 'waiting'),
    };
    const prompt = {
      receiveQueued: (frame: Frame) => this.#take(frame, 'try'),
      send: (frame: Frame, bytes: number) => this.#answer(frame, bytes, 'prompt'),
    };
    const served = {
      tree: new PlainFile(this.store, describeTree('payload', { mode: 0o640, uid: 0, gid: 0 })),
      policy: new CachePolicy('auto'),
      counters: new Counters(Counters.createMemory(1), 0),
    };
    this.#burst = new Burst(
      { waiting, prompt: hasPrompt ? prompt : null },
      new Uint8Array(Burst.memoryBytes(MAX_WRITE)),
      (frame) => new Server({ frame, ...served }),
      () => this.isWanted,
      () => this.nowMs,
    );
  }

  request(unique: number, opcode: number, ...fields: Field[]): void {
    const body = encodeFields(fields);
    const header = [40 + body.length, opcode, BigInt(unique), FILE_NODE, 0, 0, 4321, 0];
    this.queue.push(Buffer.concat([encodeFields(header), body]));
  }

  read(unique: number, offset: number, size: number): void {
    this.request(unique, FUSE_READ, 0n, BigInt(offset), size, 0, 0n, 0, 0);
  }

  write(unique: number, offset: number, data: Buffer): void {
    this.request(unique, FUSE_WRITE, 0n, BigInt(offset), data.length, 0, 0n, 0, 0, data);
  }

  /** Has the worker serve until the queue is empty, with what it asks of the kernel in a log of its own. */
  serve(): string[] {
    this.log = [];
    while (this.queue.length > 0) this.#burst.serve(this.#burst.receive()!);
    return this.log;
  }

  #take(frame: Frame, how: string): number {
    this.log.push(how);
    const request = this.queue.shift();
    if (!request) return 0;
    frame.memory.set(request, frame.requestOffset);
    return request.length;
  }

  #answer({ memory, replyOffset }: Frame, bytes: number, channel: string): void {
    const reply = Buffer.from(memory.slice(replyOffset, replyOffset + bytes));
    const unique = Number(reply.readBigUInt64LE(8));
    this.onAnswer(unique);
    this.bodies.set(unique, reply.subarray(16));
    this.log.push(`<${unique} ${channel}`);
  }
}

/** A kernel whose worker has been given enough to look at the queue, and has found it full. */
function busyKernel(): Kernel {
  const kernel = new Kernel();
  for (let index = 0; index < PAUSE + 2 + 4; index++) kernel.read(1000 + index, 0, 512);
  kernel.serve();
  return kernel;
}

const answersOf = (log: readonly string[]) => log.filter((entry) => entry.startsWith('<'));

t.test('one by one at first, then more and more together', async (t) => {
  const kernel = new Kernel();
  for (let index = 0; index < PAUSE + 2 + 4 + 8 + 8; index++) kernel.read(index, 512 * (index % 8), 512);
  const log = kernel.serve();
  const bursts = log.join().split('next').slice(1);
  t.same(
    bursts.map((burst) => burst.split('<').length - 1),
    [...new Array(PAUSE).fill(1), 2, 4, 8, 8],
  );
  t.equal(bursts.at(-4), `,try,<16 waiting,<17 prompt,`, 'both are served before one is answered');
  for (const [unique, body] of kernel.bodies) {
    const offset = 512 * (unique % 8);
    t.ok(body.equals(kernel.store.bytes.subarray(offset, offset + 512)), `the bytes of read ${unique}`);
  }
});

t.test('what is written in a burst is written, each where it belongs', async (t) => {
  const kernel = busyKernel();
  for (let index = 0; index < 8; index++) kernel.write(index, 1000 * index, Buffer.alloc(700, index + 1));
  t.match(answersOf(kernel.serve()), ['<0 waiting', '<1 prompt', '<2 prompt']);
  for (let index = 0; index < 8; index++) {
    t.ok(kernel.store.bytes.subarray(1000 * index, 1000 * index + 700).every((byte) => byte === index + 1));
    t.equal(kernel.bodies.get(index)?.readUInt32LE(), 700);
  }
});

t.test('an empty queue ends it, for a while', async (t) => {
  const kernel = busyKernel();
  for (let index = 0; index < 3; index++) kernel.read(index, 0, 512);
  t.same(kernel.serve(), ['next', 'try', 'try', 'try', '<0 waiting', '<1 prompt', '<2 prompt']);
  for (let index = 0; index < PAUSE; index++) kernel.read(index, 0, 512);
  t.notOk(kernel.serve().includes('try'));
});

t.test('where bursts are never worth it, they are tried ever more rarely', async (t) => {
  const kernel = new Kernel();
  for (const pause of [PAUSE, 2 * PAUSE, 4 * PAUSE]) {
    for (let index = 0; index < pause; index++) kernel.read(index, 0, 512);
    t.notOk(kernel.serve().includes('try'), `${pause} one by one`);
    kernel.read(0, 0, 512);
    t.same(kernel.serve(), ['next', 'try', '<0 waiting']);
  }
});

t.test('nothing is held back by what may take long', async (t) => {
  const long: Record<string, (kernel: Kernel) => void> = {
    'an fsync': (kernel) => kernel.request(7, FUSE_FSYNC, 0n, 0, 0),
    'a large read': (kernel) => kernel.read(7, 0, 16384),
    'a large write': (kernel) => kernel.write(7, 0, Buffer.alloc(9000)),
    'a request cut short': (kernel) => kernel.queue.push(Buffer.alloc(17)),
  };
  for (const [what, request] of Object.entries(long)) {
    const kernel = busyKernel();
    kernel.read(1, 0, 512);
    kernel.read(2, 0, 512);
    request(kernel);
    kernel.store.calls.length = 0;
    let callsBefore = 0;
    kernel.onAnswer = (unique) => {
      if (unique === 2) callsBefore = kernel.store.calls.length;
    };
    kernel.serve();
    t.same(answersOf(kernel.log).slice(0, 2), ['<1 waiting', '<2 prompt'], what);
    t.equal(callsBefore, 2, `${what} has not reached the store by then`);
  }
});

t.test('where the first is large, others are not taken', async (t) => {
  const kernel = busyKernel();
  kernel.read(1, 0, 16384);
  kernel.read(2, 0, 512);
  t.equal(kernel.serve()[1], '<1 waiting');
});

t.test(
  'where another worker waits, and where the kernel gave no second descriptor, nothing is taken',
  async (t) => {
    const kernel = busyKernel();
    kernel.isWanted = false;
    const other = new Kernel({ hasPrompt: false });
    for (const each of [kernel, other]) {
      for (let index = 0; index < 3 * PAUSE; index++) each.read(index, 0, 512);
      t.notOk(each.serve().includes('try'));
      t.equal(each.bodies.size, kernel === each ? 3 * PAUSE + PAUSE + 6 : 3 * PAUSE);
    }
  },
);

t.test('a slow payload holds nothing back', async (t) => {
  const kernel = busyKernel();
  const read = kernel.store.read.bind(kernel.store);
  kernel.store.read = (buffer, offset) => {
    kernel.nowMs += 1;
    return read(buffer, offset);
  };
  for (let index = 0; index < 4; index++) kernel.read(index, 0, 512);
  t.same(
    kernel.serve(),
    [0, 1, 2, 3].flatMap((index) => ['next', `<${index} waiting`]),
  );
});
