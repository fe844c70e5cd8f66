/**
 * One request and its answer in the one buffer of a worker: fields in, fields out, no copies.
 *
 * The buffer is laid out around DATA_OFFSET, which the data of a WRITE request and the data of a READ answer both
 * start at, so that either is ciphered where it lies and goes to the payload aligned to 4 KiB:
 *
 *     request   fuse_in_header | arguments (40 bytes of them before DATA_OFFSET) …
 *     answer                     fuse_out_header | body at DATA_OFFSET …
 *
 * The two overlap: an operation decodes all it needs before it encodes anything. Only `fuse_in_header` is
 * safe from the answer. Numbers are in host byte order, as the protocol wants.
 * Knows struct layouts, not what the operations mean.
 */
import { endianness } from 'node:os';
import { fuse_in_header, fuse_out_header, fuse_write_in } from './abi.js';

const DATA_OFFSET = 4096;
const ARGUMENTS_OFFSET = DATA_OFFSET - fuse_write_in.SIZE;
const REQUEST_OFFSET = ARGUMENTS_OFFSET - fuse_in_header.SIZE;
const REPLY_OFFSET = DATA_OFFSET - fuse_out_header.SIZE;

/** Which of a u64's two words is the low one. */
const LOW_WORD = endianness() === 'LE' ? 0 : 1;
const HIGH_WORD = 1 - LOW_WORD;
const TWO_POW_32 = 2 ** 32;

/** Views of at most this many sizes are kept, so that READ and WRITE of the usual sizes allocate nothing. */
const MAX_CACHED_VIEWS = 300;

export class Frame {
  /** Where the descriptor's bytes go to and come from. */
  readonly memory: Uint8Array;
  readonly requestOffset = REQUEST_OFFSET;
  readonly replyOffset = REPLY_OFFSET;
  readonly bodyOffset = DATA_OFFSET;
  /** The largest READ or WRITE that fits, in bytes. */
  readonly dataBytes: number;
  /** Of the request that `begin` accepted. */
  opcode = 0;
  nodeId = 0;
  argumentBytes = 0;
  readonly #words: Uint32Array;
  readonly #views = new Map<number, Uint8Array>();

  /** The size of the memory that a frame for READs and WRITEs of `dataBytes` needs. */
  static memoryBytes(dataBytes: number): number {
    return DATA_OFFSET + dataBytes;
  }

  /** @param memory of `Frame.memoryBytes(…)`, 4-byte aligned; the frame keeps it. */
  constructor(memory: Uint8Array) {
    this.memory = memory;
    this.dataBytes = memory.length - DATA_OFFSET;
    this.#words = new Uint32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
  }

  /**
   * Takes in a request of `requestBytes` at `requestOffset`. False where it is not even a whole header of the
   * length that arrived: there is nobody to answer then.
   */
  begin(requestBytes: number): boolean {
    if (requestBytes < fuse_in_header.SIZE || this.#header(fuse_in_header.len) !== requestBytes) return false;
    this.opcode = this.#header(fuse_in_header.opcode);
    this.nodeId = this.#u64(REQUEST_OFFSET + fuse_in_header.nodeid);
    this.argumentBytes = requestBytes - fuse_in_header.SIZE;
    return true;
  }

  /** The user on whose behalf the request is; 0 also where the kernel makes it by itself. */
  get uid(): number {
    return this.#header(fuse_in_header.uid);
  }

  /** The thread that made the system call, or 0 where its id is not known here. */
  get tid(): number {
    return this.#header(fuse_in_header.pid);
  }

  /** The kernel sends this once more (FUSE_UNIQUE_RESEND): a server that died may have done it, or a part, or nothing. */
  get isResent(): boolean {
    return this.#words[((REQUEST_OFFSET + fuse_in_header.unique) >> 2) + HIGH_WORD]! >>> 31 === 1;
  }

  argumentU32(offset: number): number {
    return this.#words[(ARGUMENTS_OFFSET + offset) >> 2]!;
  }

  /** A u64 as a number; from 2^53 on it is rounded, which is far past the end of any payload. */
  argumentU64(offset: number): number {
    return this.#u64(ARGUMENTS_OFFSET + offset);
  }

  /** An i64 as a number: times before 1970. */
  argumentI64(offset: number): number {
    const at = (ARGUMENTS_OFFSET + offset) >> 2;
    return (this.#words[at + HIGH_WORD]! | 0) * TWO_POW_32 + this.#words[at + LOW_WORD]!;
  }

  /** The NUL-terminated name at `offset`, or null where none ends inside the request. */
  argumentName(offset: number): string | null {
    const start = ARGUMENTS_OFFSET + offset;
    const end = this.memory.indexOf(0, start);
    if (end < 0 || end >= ARGUMENTS_OFFSET + this.argumentBytes) return null;
    return Buffer.from(this.memory.buffer, this.memory.byteOffset + start, end - start).toString('utf8');
  }

  /** The first `sizeBytes` of the answer's body, which is also a WRITE's data. */
  data(sizeBytes: number): Uint8Array {
    const cached = this.#views.get(sizeBytes);
    if (cached) return cached;
    const view = this.memory.subarray(DATA_OFFSET, DATA_OFFSET + sizeBytes);
    if (this.#views.size < MAX_CACHED_VIEWS) this.#views.set(sizeBytes, view);
    return view;
  }

  /** Zeroes the body's first `sizeBytes`, so that padding and unused members leak nothing. */
  clearBody(sizeBytes: number): void {
    this.memory.fill(0, DATA_OFFSET, DATA_OFFSET + sizeBytes);
  }

  setU32(offset: number, value: number): void {
    this.#words[(DATA_OFFSET + offset) >> 2] = value;
  }

  /** Two neighbouring u16 members. */
  setTwoU16(offset: number, first: number, second: number): void {
    new Uint16Array(this.memory.buffer, this.memory.byteOffset + DATA_OFFSET + offset, 2).set([
      first,
      second,
    ]);
  }

  /** A u64, or an i64, up to 2^53. */
  setU64(offset: number, value: number): void {
    const at = (DATA_OFFSET + offset) >> 2;
    this.#words[at + LOW_WORD] = value;
    this.#words[at + HIGH_WORD] = Math.floor(value / TWO_POW_32);
  }

  /** Copies `text` to the body; returns its bytes. */
  setText(offset: number, text: string): number {
    const bytes = Buffer.from(text, 'utf8');
    this.memory.set(bytes, DATA_OFFSET + offset);
    return bytes.length;
  }

  /**
   * Puts the header before a body of `bodyBytes`, or before nothing with the positive `errno`.
   * Returns the bytes to be sent from `replyOffset`.
   */
  finish(errno: number, bodyBytes: number): number {
    const words = this.#words;
    const reply = REPLY_OFFSET >> 2;
    const unique = (REQUEST_OFFSET + fuse_in_header.unique) >> 2;
    const replyBytes = fuse_out_header.SIZE + bodyBytes;
    words[reply] = replyBytes;
    words[reply + 1] = -errno;
    // Echoed word by word: `unique` is opaque, and its bit 63 has a meaning of its own (FUSE_UNIQUE_RESEND).
    words[reply + 2] = words[unique]!;
    words[reply + 3] = words[unique + 1]!;
    return replyBytes;
  }

  #header(offset: number): number {
    return this.#words[(REQUEST_OFFSET + offset) >> 2]!;
  }

  #u64(offset: number): number {
    const at = offset >> 2;
    return this.#words[at + HIGH_WORD]! * TWO_POW_32 + this.#words[at + LOW_WORD]!;
  }
}
