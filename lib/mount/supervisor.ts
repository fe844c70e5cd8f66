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
import { destroyKeys, type VolumeKeys } from '../crypto/secret.js';
import { isSystemError, LuksError } from '../errors.js';
import type { Attended } from './attend.js';
import type { MountInfo, ServerProgram } from './control.js';
import { FuseMount } from './fuse-mount.js';
import { withDefaults } from './mount-session.js';
import { HEADER_FD, type Order, PAYLOAD_FD } from './order.js';
import { OWN_PROGRAM, ServerProcess } from './server-process.js';
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
  readonly #order: Order;
  readonly #keys: VolumeKeys;
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
    const mount = await FuseMount.make({ ...withDefaults(session), source: labels.payload, isReadOnly });
    const memoryFd = createSessionFile();
    initializeMemory(session, mount.mountpoint.isDirectory, mapSessionMemory(memoryFd));
    const supervisor = new Supervisor(order, keys, mount, memoryFd);
    try {
      supervisor.#promote(await supervisor.#startServer(OWN_PROGRAM));
      await mount.tune();
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
    if (!this.#mount.hasResend) {
      const why = 'it needs Linux 6.9, where a request that falls between the two is sent again';
      throw new LuksError('UNSUPPORTED', `${this.mountpoint} must be unmounted to be upgraded: ${why}`);
    }
    if (this.#successor) throw new LuksError('BUSY', `${this.mountpoint} is being upgraded already`);
    requireTrustedProgram(program, OWN_PROGRAM);
    const successor = await this.#startServer(program);
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
    const doesServe = (await successor.answers()) && this.#server === successor;
    if (!doesServe) {
      successor.kill();
      if (this.#successor === successor) this.#successor = null;
      throw new LuksError('DEVICE_IO', 'the new server died at once, and the old one goes on');
    }
    this.#program = program;
  }

  async #startServer(program: ServerProgram): Promise<ServerProcess> {
    const { signal } = this.#ending;
    const descriptors = [PAYLOAD_FD, HEADER_FD, this.#mount.fd, this.#memoryFd] as const;
    const start = ServerProcess.start(program, [...descriptors], this.#order, this.#keys, signal);
    this.#starting.add(start);
    try {
      return await start;
    } finally {
      this.#starting.delete(start);
    }
  }

  /** Lets `server` serve: there is none, or the one before is dead. */
  #promote(server: ServerProcess): void {
    this.#server = server;
    server.serve();
    debug('server %d serves', server.pid);
    void this.#watch(server);
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
    for (const fd of [PAYLOAD_FD, HEADER_FD, this.#memoryFd]) fs.closeSync(fd);
    this.#resolveEnded(error);
  }
}
