/**
 * Keeps a mount while the processes that serve it come and go: holds the connection, the payload and the keys, and starts
 * another server where one dies, or where a newer program is to go on.
 *
 * A server begins only when the one before is dead, so that no write of that one can come after one of its own; then it
 * has the kernel send again what was left unanswered. Requests say where they read and write, so that doing one twice
 * does no harm.
 * Knows neither what a request is nor what the keys are for.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import createDebug from 'debug';
import { destroyKeys, keepKey, type VolumeKeys } from '../crypto/secret.js';
import { isSystemError, LuksError } from '../errors.js';
import type { Attended } from './attend.js';
import type { MountInfo, ReencryptRequest, ServerProgram } from './control.js';
import { FuseMount } from './fuse-mount.js';
import { fetchKeys } from './key-line.js';
import { withDefaults } from './mount-session.js';
import { HEADER_FD, type Order, PAYLOAD_FD } from './order.js';
import type { Reencrypted } from './server-line.js';
import { OWN_PROGRAM, type ServerDescriptors, ServerProcess, START_LIMITS } from './server-process.js';
import { initializeMemory } from './session.js';
import { createSessionFile, mapSessionMemory } from './session-memory.js';
import { requireTrustedProgram } from './trusted-program.js';

const debug = createDebug('luksfuse:supervisor');

/** So many servers in a row that die sooner than this, or do not even start: the next would not fare better. */
const MAX_SHORT_LIVES = 8;
const SHORT_LIFE_MS = 500;
/** Between a server that did not start and the next. */
const RETRY_MS = 100;

export class Supervisor implements Attended {
  readonly mountpoint: string;
  readonly ended: Promise<Error | undefined>;
  #order: Order;
  #keys: VolumeKeys;
  readonly #mount: FuseMount;
  readonly #memoryFd: number;
  #resolveEnded!: (error: Error | undefined) => void;
  #program = OWN_PROGRAM;
  #server!: ServerProcess;
  /** Ready to take over from `#server`. */
  #successor: ServerProcess | null = null;
  #shortLives = 0;
  readonly #starting = new Set<Promise<unknown>>();
  /** Aborted at the end of the mount: no process of it is left then. */
  readonly #ending = new AbortController();

  private constructor(order: Order, keys: VolumeKeys, mount: FuseMount, memoryFd: number) {
    this.#order = { ...order, mount: mount.record };
    this.#keys = keys;
    this.#mount = mount;
    this.#memoryFd = memoryFd;
    this.mountpoint = mount.mountpoint.path;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /**
   * Mounts, and returns when the mount is served. Takes over the keys and, under their numbers, the payload and the header;
   * they are given up at the end of the mount.
   */
  static async start(order: Order, keys: VolumeKeys): Promise<Supervisor> {
    const { session, labels } = order.options;
    const { isReadOnly } = order.device;
    const memoryFd = createSessionFile();
    const mount = await FuseMount.make({ ...withDefaults(session), source: labels.payload, isReadOnly });
    initializeMemory(session, mount.mountpoint.isDirectory, mapSessionMemory(memoryFd));
    const supervisor = new Supervisor(order, keys, mount, memoryFd);
    try {
      supervisor.#promote(await supervisor.#startServer(OWN_PROGRAM));
    } catch (error) {
      await mount.abort();
      throw error;
    }
    return supervisor;
  }

  async describe(): Promise<MountInfo> {
    return { ...(await this.#server.describe()), supervisorPid: process.pid };
  }

  async unmount(how: { lazy?: boolean } = {}): Promise<void> {
    await this.#mount.unmount(how);
    const error = await this.ended;
    if (error) throw error;
  }

  /** Replaces the server by one of `program`, which is started first: where it does not start, nothing changes. */
  async upgrade(program: ServerProgram): Promise<void> {
    this.#requireHandOver('upgraded');
    requireTrustedProgram(program, OWN_PROGRAM);
    await this.#handOver(await this.#startServer(program));
    this.#program = program;
  }

  /**
   * Has the reencryption in the header go on, or pause. One that the server does not know begins with another server,
   * which gets the keys of both forms; from when that one follows, no server may take the old layout for true.
   */
  async reencrypt({ order: online, keys: offer }: ReencryptRequest): Promise<void> {
    if (this.#order.device.isReadOnly) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `${this.mountpoint} is read-only; unmount it, and mount it for writing`,
      );
    }
    if (this.#order.online && !offer) {
      this.#order = { ...this.#order, online };
      this.#server.follow(online);
      return;
    }
    if (!offer && !this.#order.layout.reencryption) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `no reencryption has begun on ${this.mountpoint}; begin one without --resume-only`,
      );
    }
    this.#requireHandOver('reencrypted');
    const order = { ...this.#order, online };
    const [before, keys] = [this.#keys, offer ? await fetchKeys(offer) : this.#keys];
    try {
      const successor = await this.#startServer(this.#program, order, keys);
      [this.#order, this.#keys] = [order, keys];
      await this.#handOver(successor);
    } finally {
      if (before !== keys) destroyKeys(this.#keys === keys ? before : keys);
    }
  }

  #requireHandOver(done: string): void {
    if (!this.#mount.hasResend) {
      const why = 'it needs Linux 6.9, where a request that falls between the two is sent again';
      throw new LuksError('UNSUPPORTED', `${this.mountpoint} must be unmounted to be ${done}: ${why}`);
    }
    if (this.#successor)
      throw new LuksError('BUSY', `another server is to take ${this.mountpoint} over already`);
  }

  /** Replaces the server by one that is ready. */
  async #handOver(successor: ServerProcess): Promise<void> {
    const before = this.#server;
    if (before.end || this.#ending.signal.aborted) {
      successor.kill();
      throw new LuksError('DEVICE_IO', `${this.mountpoint} was unmounted meanwhile`);
    }
    debug('server %d is to follow %d', successor.pid, before.pid);
    // From here on it follows the one that serves, whatever that one dies of (#watch).
    this.#successor = successor;
    await before.drain();
    before.kill();
    await before.exited;
    const doesServe = (await successor.answers(START_LIMITS.stalledMs)) && this.#server === successor;
    if (doesServe) return;
    successor.kill();
    if (this.#successor === successor) this.#successor = null;
    throw new LuksError('DEVICE_IO', 'the new server died at once, and another goes on');
  }

  /** The reencryption is done: the key of the old form is given up, here and by a server that does not have it. */
  async #forgetOldKey({ digest, isOutdated }: Reencrypted): Promise<void> {
    await Promise.allSettled([...this.#starting]);
    this.#keys = keepKey(this.#keys, digest);
    if (!isOutdated || this.#ending.signal.aborted) return;
    this.#requireHandOver('served by one key');
    await this.#handOver(await this.#startServer(this.#program));
  }

  async #startServer(program: ServerProgram, order = this.#order, keys = this.#keys): Promise<ServerProcess> {
    const { signal } = this.#ending;
    const { fuseFd, hasResend } = this.#mount;
    const descriptors: ServerDescriptors = [PAYLOAD_FD, HEADER_FD, fuseFd, this.#memoryFd];
    // A server whose unanswered requests are not resent makes clones for itself.
    const promptFd = hasResend ? this.#mount.findPrompt() : null;
    const start = ServerProcess.start(program, descriptors, promptFd, order, keys, signal);
    this.#starting.add(start);
    try {
      return await start;
    } finally {
      this.#starting.delete(start);
    }
  }

  /** Lets `server` serve: there is none, or the one before is dead. */
  #promote(server: ServerProcess): void {
    const before: ServerProcess | undefined = this.#server;
    this.#server = server;
    if (before) this.#takeOver(before, server);
    server.serve();
    debug('server %d serves', server.pid);
    void this.#watch(server);
    server.reencrypted
      .then((message) => this.#forgetOldKey(message))
      .catch((error: Error) => debug('after the reencryption: %s', error.message));
  }

  /** Has what `before` left unanswered go to `server`, which dies where that fails. */
  #takeOver(before: ServerProcess, server: ServerProcess): void {
    try {
      if (this.#mount.hasResend) this.#mount.requestResend();
    } catch (error) {
      debug('nothing is resent: %s', (error as Error).message);
      server.kill();
    }
    before.release();
  }

  async #watch(server: ServerProcess): Promise<void> {
    const how = await server.exited;
    if (server.end) return this.#finish(server.end.error);
    debug('server %d died (%s)', server.pid, how);
    const successor = this.#successor;
    this.#successor = null;
    if (successor) return this.#promote(successor);
    const isShort = Date.now() - server.servingSinceMs! < SHORT_LIFE_MS;
    this.#shortLives = isShort ? this.#shortLives + 1 : 0;
    await this.#replace(how);
  }

  async #replace(how: string): Promise<void> {
    let why = how;
    while (this.#shortLives < MAX_SHORT_LIVES) {
      try {
        return this.#promote(await this.#startServer(this.#program));
      } catch (error) {
        why = (error as Error).message;
        debug('no server: %s', why);
        // An upgrade that went wrong later than it could be seen must not end the mount.
        this.#program = OWN_PROGRAM;
        this.#shortLives += 1;
        await delay(RETRY_MS);
      }
    }
    await this.#mount.abort();
    const message = `${MAX_SHORT_LIVES} servers of ${this.mountpoint} died one after the other (${why}); the mount was given up`;
    await this.#finish(this.#syncAbandoned() ?? new LuksError('DEVICE_IO', message));
  }

  /** What the servers have written is not lost with them; returns why it could not be made safe. */
  #syncAbandoned(): Error | null {
    try {
      if (!this.#order.device.isReadOnly) fs.fdatasyncSync(PAYLOAD_FD);
      return null;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return error;
    }
  }

  /** The last act: nobody serves, and nobody will. */
  async #finish(error: Error | undefined): Promise<void> {
    this.#ending.abort();
    await Promise.allSettled([...this.#starting, this.#successor?.exited]);
    destroyKeys(this.#keys);
    this.#mount.close();
    this.#server.release();
    for (const fd of [PAYLOAD_FD, HEADER_FD, this.#memoryFd]) fs.closeSync(fd);
    this.#resolveEnded(error);
  }
}
