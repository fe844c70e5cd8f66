/**
 * Which server serves a mount, and which comes next: one that died is replaced, and one that serves hands over to another.
 *
 * A server begins only when the one before is dead, so that no write of that one can come after one of its own. What
 * changes how the mount is served changes the plan, one change at a time from its first step to its last; a server that was
 * started by a plan which no longer holds never serves.
 * Knows neither processes nor the kernel: both are handed in.
 */
import createDebug from 'debug';
import type { VolumeKeys } from '../crypto/secret.js';
import { LuksError } from '../errors.js';
import type { OnlineOrder } from '../volume/online.js';
import type { Order } from './order.js';

const debug = createDebug('luksfuse:supervisor');

/** So many servers in a row that die sooner than this, or do not even start: the next would not fare better. */
export const MAX_SHORT_LIVES = 8;
const SHORT_LIFE_MS = 500;
/** Between a server that did not start and the next. */
const RETRY_MS = 100;

/** What a server is started with. */
export interface Plan {
  /** The module that it runs. */
  entry: string;
  order: Order;
  keys: VolumeKeys;
}

/** What is asked of a server here. */
export interface Heir {
  readonly pid: number;
  /** Resolves when nothing of it is under way any more, with how it ended. */
  readonly exited: Promise<string>;
  /** How serving ended; null while it has not, or where the process died of something else. */
  readonly end: { error: Error | undefined } | null;
  /** Lets it take requests, with the reencryption as it is ordered now. */
  serve(online: OnlineOrder | null): void;
  follow(online: OnlineOrder): void;
  /** Has it answer what it took and take no more. */
  drain(): Promise<void>;
  /** False where it died, or got nowhere. */
  serves(): Promise<boolean>;
  kill(): void;
  /** Once it is dead, and what it has left is resent. */
  release(): void;
}

export interface SuccessionHandlers<H extends Heir> {
  /** Returns when the server is ready to serve, and nothing of it is left where it throws. */
  start(plan: Plan): Promise<H>;
  /** Has what a dead server left unanswered go to the one that serves now. */
  resend(): void;
  /** A server has begun to serve. */
  onServing(server: H): void;
  nowMs(): number;
  delay(ms: number): Promise<void>;
}

/** How it ended: a server says so when the mount is gone. */
export type SuccessionEnd = { error: Error | undefined } | { gaveUp: string };

interface Reign<H> {
  server: H;
  version: number;
  sinceMs: number;
}

/** Ends one that has not served. */
function discard(server: Heir): void {
  server.kill();
  void server.exited.then(() => server.release());
}

export class Succession<H extends Heir> {
  readonly ended: Promise<SuccessionEnd>;
  readonly #handlers: SuccessionHandlers<H>;
  #plan: Plan;
  /** Of the plan; no server of an older one may serve. */
  #version = 0;
  #reign: Reign<H> | null = null;
  /** Ready to take over, and its plan's version. */
  #successor: { server: H; version: number } | null = null;
  /** Resolves when somebody serves, or all is over. */
  #settled: Promise<void> = Promise.resolve();
  #changes: Promise<unknown> = Promise.resolve();
  #shortLives = 0;
  #isOver = false;
  #resolveEnded!: (end: SuccessionEnd) => void;

  constructor(plan: Plan, handlers: SuccessionHandlers<H>) {
    this.#plan = plan;
    this.#handlers = handlers;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** Who serves, or died a moment ago. */
  get server(): H {
    return this.#reign!.server;
  }

  /** Starts the first server. Throws where it does not start. */
  async begin(): Promise<void> {
    this.#promote(await this.#handlers.start(this.#plan), this.#version);
  }

  /** Runs `change` when those before it are done. */
  exclusively<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#changes.then(change);
    this.#changes = done.catch(() => {});
    return done;
  }

  /** Tells whoever serves, and whoever will, how the reencryption is to go on. */
  follow(online: OnlineOrder): void {
    this.#plan = { ...this.#plan, order: { ...this.#plan.order, online } };
    this.server.follow(online);
  }

  /** Resolves when no server is being started in the place of a dead one. */
  async settle(): Promise<void> {
    for (let seen: Promise<void> | null = null; seen !== this.#settled; ) {
      seen = this.#settled;
      await seen;
    }
  }

  /** Servers that are started from now on have these keys. No server may be starting (`settle`). */
  changeKeys(keys: VolumeKeys): void {
    this.#plan = { ...this.#plan, keys };
    this.#version += 1;
  }

  /**
   * Has a server of `plan` follow the one that serves. To be called by `exclusively`. Where it does not start, nothing has
   * changed; later, the plan holds if it must, whatever becomes of its first server, and else the one before does.
   */
  async handOver(plan: Plan, mustHold: boolean): Promise<void> {
    const version = this.#version + 1;
    const server = await this.#handlers.start(plan);
    await this.settle();
    if (this.#isOver || this.#reign!.server.end) {
      discard(server);
      throw new LuksError('DEVICE_IO', 'the mount was unmounted meanwhile');
    }
    const before = this.#plan;
    // How the reencryption is to go on may have been told meanwhile.
    const { online } = before.order;
    this.#plan = plan.order.online && online ? { ...plan, order: { ...plan.order, online } } : plan;
    this.#version = version;
    const { server: old } = this.#reign!;
    debug('server %d is to follow %d', server.pid, old.pid);
    this.#successor = { server, version };
    await old.drain();
    old.kill();
    await old.exited;
    await this.settle();
    if (this.#reign!.server === server && (await server.serves())) return;
    if (this.#successor?.server === server) this.#successor = null;
    if (this.#reign!.server === server) server.kill();
    else discard(server);
    if (!mustHold && this.#version === version) {
      this.#plan = before;
      this.#version += 1;
    }
    throw new LuksError('DEVICE_IO', 'the new server died at once, and another goes on');
  }

  /** Lets `server` serve: there is none, or the one before is dead. */
  #promote(server: H, version: number): void {
    if (version !== this.#version) throw new Error('a server of an older plan');
    const before = this.#reign?.server;
    this.#reign = { server, version, sinceMs: this.#handlers.nowMs() };
    try {
      if (before) this.#handlers.resend();
    } catch (error) {
      debug('nothing is resent: %s', (error as Error).message);
      server.kill();
    }
    before?.release();
    server.serve(this.#plan.order.online);
    debug('server %d serves', server.pid);
    void server.exited.then((how) => this.#mourn(server, how));
    this.#handlers.onServing(server);
  }

  #mourn(server: H, how: string): void {
    if (server.end) {
      this.#finish(server.end);
      return;
    }
    debug('server %d died (%s)', server.pid, how);
    const successor = this.#successor;
    this.#successor = null;
    if (successor && successor.version === this.#version) {
      this.#promote(successor.server, successor.version);
      return;
    }
    const isShort = this.#handlers.nowMs() - this.#reign!.sinceMs < SHORT_LIFE_MS;
    this.#shortLives = isShort ? this.#shortLives + 1 : 0;
    this.#settled = this.#replace(how);
  }

  async #replace(how: string): Promise<void> {
    let why = how;
    while (this.#shortLives < MAX_SHORT_LIVES && !this.#isOver) {
      const version = this.#version;
      try {
        const server = await this.#handlers.start(this.#plan);
        if (version === this.#version && !this.#isOver) return this.#promote(server, version);
        discard(server);
      } catch (error) {
        why = (error as Error).message;
        debug('no server: %s', why);
        this.#shortLives += 1;
        await this.#handlers.delay(RETRY_MS);
      }
    }
    this.#finish({ gaveUp: why });
  }

  #finish(end: SuccessionEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#successor) discard(this.#successor.server);
    this.#resolveEnded(end);
  }
}
