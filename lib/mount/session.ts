/**
 * One mount from its first to its last breath: mount, handshake, workers, teardown. The main thread serves no
 * request; it stays free for signals and commands.
 * Joins a store with the FUSE server and knows the inside of neither.
 */
import fs from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import createDebug from 'debug';
import { LuksError } from '../errors.js';
import { CachePolicy } from '../fuse/cache-policy.js';
import { Channel } from '../fuse/channel.js';
import { abortConnection, connectionNumber, setReadAhead } from '../fuse/connection.js';
import { Counters } from '../fuse/counters.js';
import { mountFuse, unmountFuse } from '../fuse/mount-helper.js';
import { type Mountpoint, requireMountpoint } from '../fuse/mountpoint.js';
import { describeTree, PlainFile, type TreeDescription } from '../fuse/plain-file.js';
import { Server } from '../fuse/server.js';
import { Frame } from '../fuse/wire.js';
import {
  type Activity,
  type FullSessionOptions,
  type MountSession,
  type SessionEnd,
  type SessionOptions,
  withDefaults,
} from './mount-session.js';
import { WorkerPool } from './worker-pool.js';

const debug = createDebug('luksfuse:mount');

/** FUSE_INIT fits in this with much to spare; the kernel wants FUSE_MIN_READ_BUFFER at least. */
const HANDSHAKE_DATA_BYTES = 64 * 1024;
/** Two saturate a payload in the page cache. */
const MAX_DEFAULT_WORKERS = 4;
/** As many requests a slow payload may be given at once; each worker takes some MiB. */
const MAX_GROWN_WORKERS = 32;

/** Reads FUSE_INIT, which mount(2) has queued, and answers it. */
function shakeHands(fd: number, tree: PlainFile, policy: CachePolicy, counters: Counters): void {
  const frame = new Frame(new Uint8Array(Frame.memoryBytes(HANDSHAKE_DATA_BYTES)));
  const channel = new Channel(fd);
  const requestBytes = channel.receive(frame);
  if (requestBytes === null) throw new LuksError('DEVICE_IO', 'the mount vanished before its first request');
  const server = new Server({ frame, tree, policy, counters });
  channel.send(frame, server.serve(requestBytes));
  if (counters.errors > 0) {
    throw new LuksError(
      'UNSUPPORTED',
      'the kernel speaks an older FUSE protocol than 7.31; it needs Linux 5.4',
    );
  }
}

export class Session implements MountSession {
  readonly mountpoint: string;
  readonly filePath: string;
  readonly closed: Promise<SessionEnd>;
  readonly #options: FullSessionOptions;
  readonly #fd: number;
  readonly #tree: TreeDescription;
  readonly #counterMemory: SharedArrayBuffer;
  readonly #pool: WorkerPool;
  #resolveClosed!: (end: SessionEnd) => void;
  #connection: number | null = null;
  #failure: Error | null = null;
  #abandoning: Promise<void> | null = null;
  #isFinished = false;

  private constructor(
    options: FullSessionOptions,
    mountpoint: Mountpoint,
    fd: number,
    tree: TreeDescription,
  ) {
    this.#options = options;
    this.#fd = fd;
    this.#tree = tree;
    const minimum = options.workerCount ?? Math.min(availableParallelism(), MAX_DEFAULT_WORKERS);
    const maximum = options.workerCount ?? MAX_GROWN_WORKERS;
    this.#counterMemory = Counters.createMemory(maximum);
    this.#pool = new WorkerPool(
      {
        fuseFd: fd,
        storeModule: options.storeModule,
        storeHandle: options.storeHandle,
        tree,
        cacheMode: options.cache,
        counterMemory: this.#counterMemory,
      },
      { minimum, maximum },
      (failure) => void this.#abandon(failure),
      () => this.#finish(),
    );
    this.mountpoint = mountpoint.path;
    this.filePath = mountpoint.isDirectory ? join(mountpoint.path, options.fileName) : mountpoint.path;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** See `startSession`. */
  static async start(given: SessionOptions): Promise<Session> {
    const options = withDefaults(given);
    const mountpoint = requireMountpoint(options.mountpoint);
    const onlyUser = options.allowRoot && !options.allowOther ? (process.getuid?.() ?? 0) : null;
    const tree = describeTree(mountpoint.isDirectory ? options.fileName : null, options, onlyUser);
    const fd = await mountFuse(mountpoint, { ...options, isReadOnly: options.store.isReadOnly });
    const session = new Session(options, mountpoint, fd, tree);
    try {
      await session.#serve();
    } catch (error) {
      await session.#abandon(error as Error);
      if (session.#pool.workerCount === 0) session.#finish();
      await session.closed;
      throw error;
    }
    return session;
  }

  activity(): Activity {
    const { workerCount, busyCount } = this.#pool;
    return { workers: workerCount, queueDepth: busyCount, ...Counters.totals(this.#counterMemory) };
  }

  async unmount({ lazy = false }: { lazy?: boolean } = {}): Promise<void> {
    await unmountFuse(this.mountpoint, lazy ? 'lazy' : 'normal');
    if (lazy) return;
    const { error } = await this.closed;
    if (error) throw error;
  }

  async #serve(): Promise<void> {
    const file = new PlainFile(this.#options.store, this.#tree);
    const policy = new CachePolicy(this.#options.cache);
    shakeHands(this.#fd, file, policy, new Counters(this.#counterMemory, 0));
    await this.#pool.start();
    this.#connection = await connectionNumber(this.mountpoint);
    await setReadAhead(this.#connection);
  }

  /** Takes the mount away from under its users, so that no request waits for a server that is gone. */
  #abandon(failure: Error): Promise<void> {
    this.#failure ??= failure;
    this.#abandoning ??= this.#abort().catch((error: Error) =>
      debug('after %s: %s', failure.message, error.message),
    );
    return this.#abandoning;
  }

  async #abort(): Promise<void> {
    if (this.#connection !== null) await abortConnection(this.#connection);
    await unmountFuse(this.mountpoint, 'abort');
  }

  /** The last act; every worker has left. */
  #finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    fs.closeSync(this.#fd);
    try {
      if (!this.#options.store.isReadOnly) this.#options.store.sync();
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#resolveClosed(this.#failure ? { error: this.#failure } : {});
  }
}

/**
 * Mounts the store's bytes as one file and serves it from worker threads. Returns when the mount answers;
 * where it fails, with a LuksError, nothing of it is left.
 */
export function startSession(options: SessionOptions): Promise<Session> {
  return Session.start(options);
}
