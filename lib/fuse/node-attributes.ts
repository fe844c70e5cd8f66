/**
 * Mode, owner and times of the two nodes, in memory that all workers share: a chmod served by one thread is
 * seen by the next. They live as long as the mount, as those of a device node do in devtmpfs.
 * Knows no request.
 */
import { type MemoryHandle, viewMemory } from '../native/shared-memory.js';

export interface Timestamp {
  seconds: number;
  nanoseconds: number;
}

const MODE = 0;
const UID = 1;
const GID = 2;
const ATIME = 3;
const MTIME = 5;
const CTIME = 7;
const FIELD_COUNT = 9;

/** Permission bits and sticky. Set-user-id and set-group-id are dropped: nothing here is ever executed. */
const STORED_MODE_BITS = 0o1777;

export class NodeAttributes {
  readonly #fields: Float64Array;

  static memoryBytes(nodeCount: number): number {
    return nodeCount * FIELD_COUNT * Float64Array.BYTES_PER_ELEMENT;
  }

  constructor(memory: MemoryHandle, nodeIndex: number) {
    this.#fields = new Float64Array(viewMemory(memory), NodeAttributes.memoryBytes(nodeIndex), FIELD_COUNT);
  }

  get mode(): number {
    return this.#fields[MODE]!;
  }
  set mode(mode: number) {
    this.#fields[MODE] = mode & STORED_MODE_BITS;
  }

  get uid(): number {
    return this.#fields[UID]!;
  }
  set uid(uid: number) {
    this.#fields[UID] = uid;
  }

  get gid(): number {
    return this.#fields[GID]!;
  }
  set gid(gid: number) {
    this.#fields[GID] = gid;
  }

  get atime(): Timestamp {
    return this.#time(ATIME);
  }
  set atime(time: Timestamp) {
    this.#setTime(ATIME, time.seconds, time.nanoseconds);
  }

  get mtime(): Timestamp {
    return this.#time(MTIME);
  }
  set mtime(time: Timestamp) {
    this.#setTime(MTIME, time.seconds, time.nanoseconds);
  }

  get ctime(): Timestamp {
    return this.#time(CTIME);
  }
  set ctime(time: Timestamp) {
    this.#setTime(CTIME, time.seconds, time.nanoseconds);
  }

  /** The content changed now. On the path of every WRITE. */
  touch(): void {
    const nowMs = Date.now();
    const seconds = Math.floor(nowMs / 1000);
    const nanoseconds = (nowMs - seconds * 1000) * 1e6;
    this.#setTime(MTIME, seconds, nanoseconds);
    this.#setTime(CTIME, seconds, nanoseconds);
  }

  static now(): Timestamp {
    const nowMs = Date.now();
    const seconds = Math.floor(nowMs / 1000);
    return { seconds, nanoseconds: (nowMs - seconds * 1000) * 1e6 };
  }

  #time(field: number): Timestamp {
    return { seconds: this.#fields[field]!, nanoseconds: this.#fields[field + 1]! };
  }

  #setTime(field: number, seconds: number, nanoseconds: number): void {
    this.#fields[field] = seconds;
    this.#fields[field + 1] = nanoseconds;
  }
}
