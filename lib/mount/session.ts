/**
 * One mount being served: workers and their end. The main thread serves no request; it stays free for signals and
 * commands. Joins a store with the FUSE server and knows the inside of neither.
 */
import fs from 'node:fs';
import { availableParallelism } from 'node:os';
import type { LuksError } from '../errors.js';
import { Counters } from '../fuse/counters.js';
import { describeTree, rootAttributes, type TreeDescription } from '../fuse/plain-file.js';
import { hasUnlockedKeys } from '../native/memory.js';
import { FuseMount, type MountDescriptors } from './fuse-mount.js';
import {
  type Activity,
  type FullSessionOptions,
  type MountSession,
  type MountSettings,
  type SessionEnd,
  type SessionOptions,
  withDefaults,
} from './mount-session.js';
import { allocateSessionMemory, type SessionMemory } from './session-memory.js';
import { WorkerPool } from './worker-pool.js';

/** Two saturate a payload in the page cache. */
const MAX_DEFAULT_WORKERS = 4;
/** As many requests a slow payload may be given at once; each worker takes some MiB. */
const MAX_GROWN_WORKERS = 32;

/** What one process has of a mount that outlives it. */
export interface Adoption {
  mount: FuseMount;
  memory: SessionMemory;
  /** As in MountDescriptors. */
  promptFd: number | null;
}

/** What requests are read from where this process alone is to have it. */
function cloneDescriptors(mount: FuseMount): MountDescriptors {
  return { fuseFd: mount.clone(), promptFd: mount.findPrompt() };
}

/** The one user who is let in besides root; null where whoever the kernel lets through is. */
function onlyUserOf({ allowRoot, allowOther }: FullSessionOptions): number | null {
  return allowRoot && !allowOther ? (process.getuid?.() ?? 0) : null;
}

/** Fresh attributes and counters for a mount, in `memory`. */
export function initializeMemory(
  given: MountSettings,
  isDirectory: boolean,
  memory: SessionMemory,
): TreeDescription {
  const options = withDefaults(given);
  return describeTree(isDirectory ? options.fileName : null, options, null, memory);
}

export class Session implements MountSession {
  readonly mountpoint: string;
  readonly filePath: string;
  readonly closed: Promise<SessionEnd>;
  readonly #options: FullSessionOptions;
  readonly #mount: FuseMount;
  readonly #descriptors: MountDescriptors;
  readonly #memory: SessionMemory;
  readonly #pool: WorkerPool;
  /** Of a mount that outlives this process: what its failure is told to, instead of taking the mount away. */
  readonly #onFailure: ((failure: Error) => void) | null;
  #resolveClosed!: (end: SessionEnd) => void;
  #failure: Error | null = null;
  #abandoning: Promise<void> | null = null;
  #isServing = false;
  #isDraining = false;
  #isFinished = false;

  private constructor(
    options: FullSessionOptions,
    { mount, memory, promptFd }: Adoption,
    onFailure: ((failure: Error) => void) | null,
  ) {
    this.#options = options;
    this.#mount = mount;
    this.#descriptors =
      onFailure && !mount.hasResend ? cloneDescriptors(mount) : { fuseFd: mount.fuseFd, promptFd };
    this.#memory = memory;
    this.#onFailure = onFailure;
    const minimum = options.workerCount ?? Math.min(availableParallelism(), MAX_DEFAULT_WORKERS);
    const maximum = options.workerCount ?? MAX_GROWN_WORKERS;
    this.#pool = new WorkerPool(
      {
        ...this.#descriptors,
        storeModule: options.storeModule,
        storeHandle: options.storeHandle,
        tree: this.#tree(),
        cacheMode: options.cache,
        counterMemory: memory.counterMemory,
      },
      { minimum, maximum },
      (failure) => void this.#abandon(failure),
      () => this.#finish(),
    );
    this.mountpoint = mount.mountpoint.path;
    this.filePath = mount.filePath;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** See `startSession`. */
  static async start(given: SessionOptions): Promise<Session> {
    const options = withDefaults(given);
    const memory = allocateSessionMemory();
    const mount = await FuseMount.make({ ...options, isReadOnly: options.store.isReadOnly });
    initializeMemory(options, mount.mountpoint.isDirectory, memory);
    const session = new Session(options, { mount, memory, promptFd: mount.findPrompt() }, null);
    try {
      await session.#pool.start();
      session.#pool.open();
      await mount.locate(rootAttributes(session.#tree().fileName, memory));
    } catch (error) {
      await session.#abandon(error as Error);
      // Those that are ready wait for the gate; behind it they find the mount gone.
      session.#pool.open();
      if (session.#pool.workerCount === 0) session.#finish();
      await session.closed;
      throw error;
    }
    return session;
  }

  /**
   * Takes over a mount that another process made and somebody served before. Returns when all is ready for `serve`.
   * @param onFailure told when a worker has failed: this process cannot serve on then, and another has to
   */
  static async adopt(
    given: SessionOptions,
    adoption: Adoption,
    onFailure: (failure: Error) => void,
  ): Promise<Session> {
    const session = new Session(withDefaults(given), adoption, onFailure);
    await session.#pool.start();
    return session;
  }

  /** After `adopt`, and when the server before is dead: nothing of it may be under way any more. */
  serve(): void {
    this.#isServing = true;
    if (this.#failure) this.#onFailure?.(this.#failure);
    this.#pool.open();
  }

  /** Answers what was taken and takes no more, so that this process can be replaced. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    await this.#pool.drain(() => fs.promises.statfs(this.filePath));
  }

  get connection(): number {
    return this.#mount.connection!;
  }

  get hasUnlockedKeys(): boolean {
    return hasUnlockedKeys() || this.#pool.hasUnlockedKeys;
  }

  activity(): Activity {
    const { workerCount, busyCount } = this.#pool;
    return { workers: workerCount, queueDepth: busyCount, ...Counters.totals(this.#memory.counterMemory) };
  }

  async unmount({ lazy = false }: { lazy?: boolean } = {}): Promise<void> {
    await this.#mount.unmount({ lazy });
    if (lazy) return;
    const { error } = await this.closed;
    if (error) throw error;
  }

  #tree(): TreeDescription {
    const { isDirectory } = this.#mount.mountpoint;
    const fileName = isDirectory ? this.#options.fileName : null;
    return { ...this.#memory, fileName, onlyUser: onlyUserOf(this.#options) };
  }

  #abandon(failure: Error): Promise<void> {
    // A connection that somebody has aborted cannot be served by another process either.
    const isAborted = (failure as Partial<LuksError>).code === 'DEVICE_IO';
    this.#failure ??= failure;
    if (this.#onFailure && !isAborted) {
      if (this.#isServing) this.#onFailure(failure);
      return Promise.resolve();
    }
    this.#abandoning ??= this.#mount.abort();
    return this.#abandoning;
  }

  /** The last act; every worker has left. */
  #finish(): void {
    if (this.#isFinished || this.#isDraining) return;
    this.#isFinished = true;
    const { fuseFd, promptFd } = this.#descriptors;
    for (const fd of [fuseFd, promptFd]) {
      if (fd !== null && fd !== this.#mount.fuseFd) fs.closeSync(fd);
    }
    this.#mount.close();
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
