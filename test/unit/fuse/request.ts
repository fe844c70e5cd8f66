/**
 * Requests made by hand, byte for byte as fuse.h lays them out, and a server over a store in memory to send
 * them to. Little-endian, as this machine is.
 */

import { systemError } from '../../../lib/errors.js';
import { type CacheMode, CachePolicy } from '../../../lib/fuse/cache-policy.js';
import { Counters } from '../../../lib/fuse/counters.js';
import { type BlockStore, describeTree, PlainFile } from '../../../lib/fuse/plain-file.js';
import { Server } from '../../../lib/fuse/server.js';
import { Frame } from '../../../lib/fuse/wire.js';

export const MAX_WRITE = 64 * 1024;
export const STORE_BYTES = 10_000;

/** Every call is noted; the next one fails where `failure` is set. */
export class MemoryStore implements BlockStore {
  readonly bytes = Buffer.from(Array.from({ length: STORE_BYTES }, (_, index) => index % 251));
  readonly sizeBytes = STORE_BYTES;
  readonly blockSizeBytes = 512;
  isReadOnly = false;
  failure: unknown = null;
  readonly calls: string[] = [];

  #note(call: string): void {
    this.calls.push(call);
    if (this.failure) throw this.failure;
  }

  read(buffer: Uint8Array, offsetBytes: number): number {
    this.#note(`read ${offsetBytes} ${buffer.length}`);
    const piece = this.bytes.subarray(offsetBytes, offsetBytes + buffer.length);
    buffer.set(piece);
    return piece.length;
  }

  write(buffer: Uint8Array, offsetBytes: number): void {
    this.#note(`write ${offsetBytes} ${buffer.length}`);
    if (offsetBytes + buffer.length > STORE_BYTES) throw systemError('ENOSPC', 'write');
    this.bytes.set(buffer, offsetBytes);
    buffer.fill(0xee); // the contract allows it: the data is gone
  }

  sync(): void {
    this.#note('sync');
  }

  allocate(offsetBytes: number, lengthBytes: number): void {
    this.#note(`allocate ${offsetBytes} ${lengthBytes}`);
  }

  zeroRange(offsetBytes: number, lengthBytes: number): void {
    this.#note(`zeroRange ${offsetBytes} ${lengthBytes}`);
    this.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
  }

  discard(offsetBytes: number, lengthBytes: number): void {
    this.#note(`discard ${offsetBytes} ${lengthBytes}`);
  }
}

/** Fields in order: a number is a u32, a bigint a u64, a string its bytes and a NUL. */
export type Field = number | bigint | string | Uint8Array;

export function encodeFields(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === 'string') return Buffer.from(`${field}\0`);
      if (typeof field === 'object') return Buffer.from(field);
      const bytes = Buffer.alloc(typeof field === 'bigint' ? 8 : 4);
      if (typeof field === 'bigint') bytes.writeBigUInt64LE(BigInt.asUintN(64, field));
      else bytes.writeUInt32LE(field);
      return bytes;
    }),
  );
}

export interface Reply {
  error: number;
  unique: bigint;
  body: Buffer;
}

export interface HarnessOptions {
  fileName?: string | null;
  cache?: CacheMode;
  onlyUser?: number | null;
}

export class Harness {
  readonly store = new MemoryStore();
  readonly frame = new Frame(new Uint8Array(Frame.memoryBytes(MAX_WRITE)));
  readonly counterMemory = Counters.createMemory(1);
  readonly server: Server;
  /** Of the requests to come. Its highest bit says that the kernel sends one once more. */
  unique = 0x4000_0000_1234_5679n;

  constructor({ fileName = 'payload', cache = 'auto', onlyUser = null }: HarnessOptions = {}) {
    const tree = describeTree(fileName, { mode: 0o640, uid: 11, gid: 22 }, onlyUser);
    this.server = new Server({
      frame: this.frame,
      tree: new PlainFile(this.store, tree),
      policy: new CachePolicy(cache),
      counters: new Counters(this.counterMemory, 0),
    });
  }

  /** Puts raw bytes where the kernel would, and serves them. Null where nothing is to be sent. */
  sendRaw(request: Uint8Array, requestBytes = request.length): Buffer | null {
    this.frame.memory.fill(0xaa); // what an earlier request left must not matter
    this.frame.memory.set(request, this.frame.requestOffset);
    const replyBytes = this.server.serve(requestBytes);
    if (replyBytes === 0) return null;
    const { replyOffset, memory } = this.frame;
    return Buffer.from(memory.slice(replyOffset, replyOffset + replyBytes));
  }

  /** Sends a request to a node; null where it gets no answer. */
  send(opcode: number, nodeId: bigint, ...fields: Field[]): Reply | null {
    const body = encodeFields(fields);
    // fuse_in_header: len opcode unique nodeid uid gid pid total_extlen+padding
    const header = encodeFields([40 + body.length, opcode, this.unique, nodeId, 1000, 1000, 4321, 0]);
    const reply = this.sendRaw(Buffer.concat([header, body]));
    if (!reply) return null;
    if (reply.readUInt32LE(0) !== reply.length) throw new Error('fuse_out_header.len is not the length');
    return { error: -reply.readInt32LE(4), unique: reply.readBigUInt64LE(8), body: reply.subarray(16) };
  }
}
