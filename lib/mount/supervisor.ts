/**
 * Keeps a mount while the processes that serve it come and go: holds the connection, the payload and the keys, and starts
 * another server where one dies, or where a newer program is to go on.
 *
 * A server that begins has the kernel send again what the one before left unanswered. Requests say where they read and
 * write, so that doing one twice does no harm.
 * Knows neither what a request is nor what the keys are for.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import createDebug from 'debug';
import { destroyKeys, keepKey, type VolumeKeys } from '../crypto/secret.js';
import { isSystemError, LuksError } from '../errors.js';
import { rootAttributes } from '../fuse/plain-file.js';
import type { Attended } from './attend.js';
import type { MountInfo, ReencryptRequest } from './control.js';
import { FuseMount } from './fuse-mount.js';
import { fetchKeys } from './key-line.js';
import { withDefaults } from './mount-session.js';
import { HEADER_FD, type Order, PAYLOAD_FD } from './order.js';
import type { Reencrypted } from './server-line.js';
import { OWN_ENTRY, type ServerDescriptors, ServerProcess } from './server-process.js';
import { initializeMemory } from './session.js';
import { createSessionFile, mapSessionMemory } from './session-memory.js';
import { MAX_SHORT_LIVES, type Plan, Succession, type SuccessionEnd } from './succession.js';
import { requireTrustedEntry } from './trusted-program.js';

const debug = createDebug('luksfuse:supervisor');

export class Supervisor implements Attended {
  readonly mountpoint: string;
  readonly ended: Promise<Error | undefined>;
  readonly #mount: FuseMount;
  readonly #memoryFd: number;
  /** The payload as nobody syncs it: what failed to be written the kernel tells each description once. */
  readonly #witnessFd: number;
  readonly #succession: Succession<ServerProcess>;
  readonly #starting = new Set<Promise<unknown>>();
  /** Aborted at the end of the mount: no process of it is left then. */
  readonly #ending = new AbortController();

  private constructor(
    order: Order,
    keys: VolumeKeys,
    mount: FuseMount,
    { memoryFd, witnessFd }: { memoryFd: number; witnessFd: number },
  ) {
    this.#mount = mount;
    this.#witnessFd = witnessFd;
    this.#memoryFd = memoryFd;
    this.mountpoint = mount.mountpoint.path;
    this.#succession = new Succession<ServerProcess>(
      { entry: OWN_ENTRY, order, keys },
      {
        start: (plan) => this.#startServer(plan),
        resend: () => mount.hasResend && mount.requestResend(),
        onServing: (server) => this.#attendServer(server),
        nowMs: () => performance.now(),
        delay,
      },
    );
    this.ended = this.#succession.ended.then((end) => this.#finish(end));
  }

  /**
   * Mounts, and returns when the mount is served. Takes over the keys and, under their numbers, the payload and the header;
   * they are given up at the end of the mount.
   */
  static async start(order: Order, keys: VolumeKeys): Promise<Supervisor> {
    const { session, labels } = order.options;
    const { isReadOnly } = order.device;
    // All that can fail without a mount, before there is one.
    const memoryFd = createSessionFile();
    const witnessFd = fs.openSync(`/proc/self/fd/${PAYLOAD_FD}`, 'r');
    const memory = mapSessionMemory(memoryFd);
    const mount = await FuseMount.make({ ...withDefaults(session), source: labels.payload, isReadOnly });
    try {
      const tree = initializeMemory(session, mount.mountpoint.isDirectory, memory);
      const supervisor = new Supervisor(order, keys, mount, { memoryFd, witnessFd });
      await supervisor.#succession.begin();
      await mount.locate(rootAttributes(tree.fileName, tree));
      supervisor.#succession.server.locate(supervisor.connection);
      return supervisor;
    } catch (error) {
      await mount.abort();
      throw error;
    }
  }

  get connection(): number {
    return this.#mount.connection!;
  }

  async describe(): Promise<MountInfo> {
    return { ...(await this.#succession.server.describe()), supervisorPid: process.pid };
  }

  async unmount(how: { lazy?: boolean } = {}): Promise<void> {
    await this.#mount.unmount(how);
    if (how.lazy) return;
    const error = await this.ended;
    if (error) throw error;
  }

  /** Replaces the server by one that runs `named`, which is started first: where it does not start, nothing changes. */
  async upgrade(named: string): Promise<void> {
    this.#requireHandOver('upgraded');
    const entry = await requireTrustedEntry(named);
    const succession = this.#succession;
    await succession.exclusively(() => succession.handOver({ ...succession.plan, entry }, false));
  }

  /**
   * Has the reencryption in the header go on, or pause. One that the server does not know begins with another server,
   * which gets the keys of both forms; from when that one follows, no server may take the old layout for true.
   */
  async reencrypt({ order: online, keys: offer }: ReencryptRequest): Promise<void> {
    if (this.#succession.plan.order.device.isReadOnly) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `${this.mountpoint} is read-only; unmount it, and mount it for writing`,
      );
    }
    await this.#succession.exclusively(async () => {
      const { plan } = this.#succession;
      if (plan.order.online && !offer) {
        this.#succession.follow(online);
        return;
      }
      if (!offer && !plan.order.layout.reencryption) {
        throw new LuksError(
          'BAD_ARGUMENT',
          `no reencryption has begun on ${this.mountpoint}; begin one without --resume-only`,
        );
      }
      this.#requireHandOver('reencrypted');
      const keys = offer ? await fetchKeys(offer) : plan.keys;
      try {
        await this.#succession.handOver({ ...plan, order: { ...plan.order, online }, keys }, true);
      } finally {
        const isInUse = this.#succession.plan.keys === keys;
        if (keys !== plan.keys) destroyKeys(isInUse ? plan.keys : keys);
      }
    });
  }

  #requireHandOver(done: string): void {
    if (this.#mount.hasResend) return;
    const why = 'it needs Linux 6.9, where a request that falls between the two is sent again';
    throw new LuksError('UNSUPPORTED', `${this.mountpoint} must be unmounted to be ${done}: ${why}`);
  }

  #attendServer(server: ServerProcess): void {
    if (this.#mount.connection !== null) server.locate(this.#mount.connection);
    server.reencrypted
      .then((message) => this.#succession.exclusively(() => this.#forgetOldKey(message)))
      .catch((error: Error) => debug('after the reencryption: %s', error.message));
  }

  /** The reencryption is done: the key of the old form is given up, here and by a server that does not have it. */
  async #forgetOldKey({ digest, isOutdated }: Reencrypted): Promise<void> {
    const succession = this.#succession;
    // Whoever is being started is being sent the keys.
    await succession.settle();
    await Promise.allSettled([...this.#starting]);
    if (this.#ending.signal.aborted) return;
    succession.changeKeys(keepKey(succession.plan.keys, digest));
    if (!isOutdated) return;
    this.#requireHandOver('served by one key');
    await succession.handOver(succession.plan, true);
  }

  async #startServer({ entry, order, keys }: Plan): Promise<ServerProcess> {
    const { signal } = this.#ending;
    const { fuseFd, hasResend } = this.#mount;
    const descriptors: ServerDescriptors = [PAYLOAD_FD, HEADER_FD, fuseFd, this.#memoryFd, this.#witnessFd];
    // A server whose unanswered requests are not resent makes clones for itself.
    const promptFd = hasResend ? this.#mount.findPrompt() : null;
    const ordered = { ...order, mount: this.#mount.record };
    const start = ServerProcess.start(entry, descriptors, promptFd, ordered, keys, signal);
    this.#starting.add(start);
    try {
      return await start;
    } finally {
      this.#starting.delete(start);
    }
  }

  /** What the servers have written is not lost with them; returns why it could not be made safe. */
  #syncAbandoned(): Error | null {
    try {
      if (!this.#succession.plan.order.device.isReadOnly) fs.fdatasyncSync(PAYLOAD_FD);
      return null;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return error;
    }
  }

  async #giveUp(why: string): Promise<Error> {
    await this.#mount.abort();
    const message = `${MAX_SHORT_LIVES} servers of ${this.mountpoint} died one after the other (${why}); the mount was given up`;
    return this.#syncAbandoned() ?? new LuksError('DEVICE_IO', message);
  }

  /** The last act: nobody serves, and nobody will. */
  async #finish(end: SuccessionEnd): Promise<Error | undefined> {
    const error = 'gaveUp' in end ? await this.#giveUp(end.gaveUp) : end.error;
    this.#ending.abort();
    await Promise.allSettled([...this.#starting]);
    destroyKeys(this.#succession.plan.keys);
    this.#mount.close();
    this.#succession.server.release();
    for (const fd of [this.#witnessFd, this.#memoryFd, HEADER_FD, PAYLOAD_FD]) fs.closeSync(fd);
    return error;
  }
}
