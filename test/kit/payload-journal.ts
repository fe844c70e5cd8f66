/**
 * Records what reaches a payload, with the order of it: every write and every sync that a mount's workers make, as
 * write(2) and fdatasync(2) begin and return. From the record, what power failing at any moment can leave is rebuilt.
 */
import fs from 'node:fs';
import path from 'node:path';
import { threadId } from 'node:worker_threads';
import { Volume, type VolumeHandle } from '../../lib/volume/volume.js';
import { transferThroughNode } from './node-io.js';
import type { Random } from './random.js';

export const storeModule = import.meta.url;

/** What a disk writes as one: all of it or nothing. */
export const PIECE_BYTES = 512;

export interface JournalHandle {
  volume: VolumeHandle;
  clockMemory: SharedArrayBuffer;
  /** Where each worker puts its record. */
  dir: string;
}

/** Counts moments, in all threads. */
export class Clock {
  readonly memory: SharedArrayBuffer;
  readonly #now: Int32Array;

  constructor(memory = new SharedArrayBuffer(4)) {
    this.memory = memory;
    this.#now = new Int32Array(memory);
  }

  tick(): number {
    return Atomics.add(this.#now, 0, 1) + 1;
  }
}

export interface Entry {
  start: number;
  end: number;
  /** Null for a sync. */
  write: { offsetBytes: number; bytes: Buffer } | null;
}

const SYNC = 0xffff_ffff;
/** Of an entry in the file: start, end, bytes (or SYNC) and offset, each a u32. */
const HEAD_BYTES = 16;

/** The store of a mount's worker (StoreModule). */
export function openStore({ volume, clockMemory, dir }: JournalHandle): Volume {
  const clock = new Clock(clockMemory);
  const journal = fs.openSync(path.join(dir, `journal-${threadId}`), 'a');
  const { writeSync, fdatasyncSync } = fs;
  const note = (start: number, bytes: Uint8Array | null, offsetBytes: number) => {
    const head = Buffer.from(
      new Uint32Array([start, clock.tick(), bytes?.length ?? SYNC, offsetBytes]).buffer,
    );
    writeSync(journal, bytes ? Buffer.concat([head, bytes]) : head);
  };
  transferThroughNode();
  Object.assign(fs, {
    writeSync: (fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => {
      const start = clock.tick();
      const count = writeSync(fd, buffer, offset, length, position);
      if (fd === volume.device.fd) note(start, buffer.subarray(offset, offset + count), position);
      return count;
    },
    fdatasyncSync: (fd: number) => {
      const start = clock.tick();
      fdatasyncSync(fd);
      if (fd === volume.device.fd) note(start, null, 0);
    },
  });
  return Volume.fromHandle(volume);
}

export const allocateIoBuffer = Volume.allocateIoBuffer;

function readJournal(file: string): Entry[] {
  const bytes = fs.readFileSync(file);
  const entries: Entry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [start, end, length, offsetBytes] = [0, 4, 8, 12].map((field) => bytes.readUInt32LE(at + field));
    at += HEAD_BYTES;
    const isSync = length === SYNC;
    const write = isSync ? null : { offsetBytes: offsetBytes!, bytes: bytes.subarray(at, at + length!) };
    entries.push({ start: start!, end: end!, write });
    if (!isSync) at += length!;
  }
  return entries;
}

/** What the workers recorded, in the order in which it returned. */
export function readJournals(dir: string): Entry[] {
  const files = fs.readdirSync(dir).filter((name) => name.startsWith('journal-'));
  return files.flatMap((name) => readJournal(path.join(dir, name))).sort((a, b) => a.end - b.end);
}

/** Puts those pieces of a write into `image` that `hasLanded`. */
function land(image: Buffer, { write }: Entry, hasLanded: () => boolean): void {
  const { offsetBytes, bytes } = write!;
  for (let done = 0; done < bytes.length; ) {
    const piece = PIECE_BYTES - ((offsetBytes + done) % PIECE_BYTES);
    const end = Math.min(done + piece, bytes.length);
    if (hasLanded()) bytes.copy(image, offsetBytes + done, done, end);
    done = end;
  }
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  const rest = [...list];
  return list.map(() => rest.splice(random.below(rest.length), 1)[0]!);
}

export interface Remains {
  name: string;
  /** Valid until the next one is asked for. */
  image: Buffer;
  /** The moment at which power failed. */
  moment: number;
}

/**
 * What a cut can leave of `before`, for each moment at which something began or returned: of the writes that no sync
 * has covered, none, all, some, or some pieces of them in any order.
 */
export function* remains(before: Buffer, entries: readonly Entry[], random: Random): Generator<Remains> {
  const durable = Buffer.from(before);
  let pending: Entry[] = [];
  const moments = entries.flatMap(({ start, end }) => [start, end]).sort((a, b) => a - b);
  for (const moment of moments) {
    const sync = entries.find(({ write, end }) => write === null && end === moment);
    if (sync) {
      for (const entry of pending.filter(({ end }) => end < sync.start)) land(durable, entry, () => true);
      pending = pending.filter(({ end }) => end >= sync.start);
    }
    const begun = entries.find(({ write, start }) => write !== null && start === moment);
    if (begun) pending.push(begun);
    const rests: [string, readonly Entry[], () => boolean][] = [
      ['nothing that was not synced', [], () => true],
      ['all', pending, () => true],
      ['some pieces', pending, () => random.oneIn(2)],
      ['some pieces in any order', shuffled(pending, random), () => random.oneIn(2)],
    ];
    for (const [name, landing, hasLanded] of pending.length > 0 ? rests : rests.slice(0, 1)) {
      const image = Buffer.from(durable);
      for (const entry of landing) land(image, entry, hasLanded);
      yield { name, image, moment };
    }
  }
}
