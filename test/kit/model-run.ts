/**
 * An fsx-style run: random operations on a file of fixed size and on a buffer that says what the file must
 * hold, compared at every read. One operation at a time goes any way the kernel offers (page cache, direct
 * I/O, mapping); rounds of several at once go through the thread pool and may overlap.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  fallocateSync,
} from '../../lib/native/file.js';
import { checkRound, type Extent } from './concurrent-round.js';
import { MappedFile } from './mapped-file.js';
import type { Random } from './random.js';

const KiB = 1024;
const NOISE_BYTES = 4 * 1024 * KiB;
const MAX_LENGTH = 96 * KiB;
/** Now and then a write larger than one FUSE request may be. */
const HUGE_LENGTH = 2500 * KiB;
const { O_RDWR, O_DIRECT, O_TRUNC } = fs.constants;

export type CacheName = 'auto' | 'none' | 'writeback';

export interface ModelRunOptions {
  file: string;
  model: Buffer;
  random: Random;
  /** The mount's --cache. */
  cache: CacheName;
}

export class ModelRun {
  readonly #file: string;
  readonly #model: Buffer;
  readonly #random: Random;
  readonly #cache: CacheName;
  readonly #noise: Buffer;
  readonly #cached: fs.promises.FileHandle;
  readonly #direct: fs.promises.FileHandle;
  readonly #mapped: MappedFile | null;
  /** The last operations, for the report of a failure. */
  readonly #log: string[] = [];

  private constructor(
    options: ModelRunOptions,
    cached: fs.promises.FileHandle,
    direct: fs.promises.FileHandle,
  ) {
    this.#file = options.file;
    this.#model = options.model;
    this.#random = options.random;
    this.#cache = options.cache;
    this.#noise = options.random.bytes(NOISE_BYTES);
    this.#cached = cached;
    this.#direct = direct;
    // Without the page cache there is nothing to map.
    this.#mapped = options.cache !== 'none' ? new MappedFile(options.file) : null;
  }

  static async open(options: ModelRunOptions): Promise<ModelRun> {
    const cached = await fs.promises.open(options.file, O_RDWR);
    return new ModelRun(options, cached, await fs.promises.open(options.file, O_RDWR | O_DIRECT));
  }

  /** Does `count` operations; throws at the first that goes wrong, with those before it. */
  async do(count: number): Promise<void> {
    for (let done = 0; done < count; ) {
      try {
        done += await this.#step();
      } catch (error) {
        throw new Error(`${(error as Error).message}\nafter:\n${this.#log.join('\n')}`, { cause: error });
      }
    }
    this.#check('whole file', this.#read(this.#direct, { offset: 0, length: this.#model.length }), 0);
    await delay(0);
  }

  async close(): Promise<void> {
    this.#mapped?.close();
    await this.#cached.close();
    await this.#direct.close();
  }

  async #step(): Promise<number> {
    const kind = this.#random.below(100);
    if (kind < 34) return this.#doRead();
    if (kind < 72) return this.#doWrite();
    if (kind < 76) return this.#doSync();
    if (kind < 78) return this.#doTruncate();
    if (kind < 80) return this.#doZero();
    if (kind < 81) return this.#doEnd();
    return await this.#doRound();
  }

  #note(line: string): void {
    this.#log.push(line);
    if (this.#log.length > 12) this.#log.shift();
  }

  /** An extent within the file: often at sector edges, often not. */
  #extent(maxLength: number): Extent {
    const unit = this.#random.pick([1, 1, 512, 4096]);
    const offset = this.#random.below(Math.floor(this.#model.length / unit)) * unit;
    const room = Math.min(maxLength, this.#model.length - offset);
    const small = this.#random.oneIn(2) ? Math.min(room, 9000) : room;
    return { offset, length: Math.max(1, Math.floor(this.#random.between(1, small) / unit) * unit) };
  }

  #data({ length }: Extent): Buffer {
    const at = this.#random.below(NOISE_BYTES - length);
    return this.#noise.subarray(at, at + length);
  }

  #way(): 'cached' | 'direct' | 'mapped' {
    return this.#random.pick(this.#mapped ? ['cached', 'direct', 'mapped'] : ['cached', 'direct']);
  }

  #handle(way: 'cached' | 'direct'): fs.promises.FileHandle {
    return way === 'cached' ? this.#cached : this.#direct;
  }

  #read(handle: fs.promises.FileHandle, { offset, length }: Extent): Buffer {
    const buffer = Buffer.alloc(length);
    const count = fs.readSync(handle.fd, buffer, 0, length, offset);
    return buffer.subarray(0, count);
  }

  #write(handle: fs.promises.FileHandle, data: Buffer, offset: number): void {
    const count = fs.writeSync(handle.fd, data, 0, data.length, offset);
    if (count !== data.length) throw new Error(`wrote ${count} of ${data.length} bytes at ${offset}`);
  }

  #check(what: string, actual: Buffer, offset: number): void {
    const expected = this.#model.subarray(offset, offset + actual.length);
    if (actual.equals(expected)) return;
    const at = actual.findIndex((byte, i) => byte !== expected[i]);
    throw new Error(`${what}: byte ${offset + at} is ${actual[at]}, must be ${expected[at]}`);
  }

  #doRead(): number {
    const extent = this.#extent(MAX_LENGTH);
    const { offset, length } = extent;
    const way = this.#way();
    this.#note(`${way} read ${length} at ${offset}`);
    const actual =
      way === 'mapped'
        ? Buffer.from(this.#mapped!.bytes.subarray(offset, offset + length))
        : this.#read(this.#handle(way), extent);
    if (actual.length !== length) throw new Error(`read ${actual.length} of ${length} bytes at ${offset}`);
    this.#check(`${way} read`, actual, offset);
    return 1;
  }

  #doWrite(): number {
    const extent = this.#extent(this.#random.oneIn(150) ? HUGE_LENGTH : MAX_LENGTH);
    const data = this.#data(extent);
    const way = this.#way();
    this.#note(`${way} write ${extent.length} at ${extent.offset}`);
    if (way === 'mapped') data.copy(this.#mapped!.bytes, extent.offset);
    else this.#write(this.#handle(way), data, extent.offset);
    data.copy(this.#model, extent.offset);
    return 1;
  }

  #doSync(): number {
    this.#note('sync');
    const kind = this.#random.below(3);
    if (kind === 0) fs.fsyncSync(this.#cached.fd);
    else if (kind === 1) fs.fdatasyncSync(this.#direct.fd);
    else this.#mapped?.sync();
    return 1;
  }

  /** A block device neither shrinks nor grows, and O_TRUNC leaves it as it is. */
  #doTruncate(): number {
    const size = this.#model.length;
    const kind = this.#random.below(3);
    this.#note(`truncate ${kind}`);
    if (kind === 0) {
      fs.closeSync(fs.openSync(this.#file, O_RDWR | O_TRUNC));
    } else if (kind === 1) {
      fs.ftruncateSync(this.#cached.fd, size);
    } else {
      this.#mustFail('EINVAL', () => fs.ftruncateSync(this.#cached.fd, this.#random.below(size)));
    }
    if (fs.fstatSync(this.#cached.fd).size !== size) throw new Error('the size has changed');
    return 1;
  }

  /** Zeroing a range is served or refused (EOPNOTSUPP, which is ENOTSUP on Linux); punching a hole too, and what was punched reads as zeros. */
  #doZero(): number {
    const { offset, length } = this.#extent(MAX_LENGTH);
    const kind = this.#random.pick([FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE]);
    this.#note(`fallocate ${kind} ${length} at ${offset}`);
    try {
      fallocateSync(this.#cached.fd, kind | FALLOC_FL_KEEP_SIZE, offset, length);
      this.#model.fill(0, offset, offset + length);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error;
    }
    return 1;
  }

  /** Reads across the end are short, writes behind it find no space. */
  #doEnd(): number {
    const size = this.#model.length;
    const offset = size - this.#random.below(5000);
    const handle = this.#handle(this.#random.pick(['cached', 'direct']));
    this.#note(`read across the end from ${offset}, write behind it`);
    const tail = this.#read(handle, { offset, length: 10_000 });
    if (tail.length !== size - offset) throw new Error(`read ${tail.length} bytes at ${offset} of ${size}`);
    this.#check('read across the end', tail, offset);
    // With a writeback cache the kernel takes such a write and hears of the error only later.
    if (this.#cache === 'writeback') return 1;
    this.#mustFail('ENOSPC', () =>
      fs.writeSync(handle.fd, Buffer.alloc(100), 0, 100, size + this.#random.below(9000)),
    );
    return 1;
  }

  /** Two to five reads and writes at once, near each other so that they overlap or share sectors. */
  async #doRound(): Promise<number> {
    const start = this.#random.below(this.#model.length - 64 * KiB);
    const operations = Array.from({ length: this.#random.between(2, 5) }, () => {
      const unit = this.#random.pick([1, 512, 4096]);
      const offset = start + Math.floor(this.#random.below(16 * KiB) / unit) * unit;
      const extent = { offset, length: Math.max(1, this.#random.below(24 * KiB)) };
      return {
        ...extent,
        way: this.#random.pick(['cached', 'direct'] as const),
        isWrite: !this.#random.oneIn(4),
      };
    });
    for (const { way, isWrite, offset, length } of operations) {
      this.#note(`${way} ${isWrite ? 'write' : 'read'} ${length} at ${offset}, at once with its neighbours`);
    }
    const results = await Promise.all(
      operations.map(async ({ way, isWrite, offset, length }) => {
        const data = isWrite ? this.#data({ offset, length }) : Buffer.alloc(length);
        const handle = this.#handle(way);
        const done = isWrite
          ? (await handle.write(data, 0, length, offset)).bytesWritten
          : (await handle.read(data, 0, length, offset)).bytesRead;
        if (done !== length) throw new Error(`moved ${done} of ${length} bytes at ${offset}`);
        return { offset, data, isWrite };
      }),
    );
    const around = { offset: start, length: 64 * KiB };
    const after = this.#read(this.#handle(this.#random.pick(['cached', 'direct'])), around);
    checkRound(this.#model, results, after, start);
    return operations.length;
  }

  #mustFail(code: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === code) return;
      throw error;
    }
    throw new Error(`went through, must fail with ${code}`);
  }
}
