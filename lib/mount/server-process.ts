/**
 * One server as its supervisor has it: started, told what to do, waited for.
 */
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import type net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { VolumeKeys } from '../crypto/secret.js';
import { LuksError } from '../errors.js';
import type { OnlineOrder } from '../volume/online.js';
import { spawnModule } from './child.js';
import { type ErrorRecord, fromErrorRecord, type MountInfo } from './control.js';
import { JsonLine } from './json-line.js';
import { LINE_FD, type Order, sendOrder } from './order.js';
import { type FromServer, MAX_MESSAGE_CHARACTERS, type Reencrypted, type ToServer } from './server-line.js';

/** The module that a server of this version runs. */
export const OWN_ENTRY = fileURLToPath(new URL('./server-main.js', import.meta.url));

/** How long a server may take to start, however slow the machine is, and how long without any processor time. */
export const START_LIMITS = { totalMs: 900_000, stalledMs: 30_000 };
/** A server answers at once: its main thread does nothing else. */
const ANSWER_MS = 2000;
/** Longer than a server gives the requests that it serves. */
const DRAIN_MS = 12_000;

/** Descriptors for the server, in the order of their numbers there, from PAYLOAD_FD on. */
export type ServerDescriptors = [
  payload: number,
  header: number,
  fuse: number,
  memory: number,
  witness: number,
];

export class ServerProcess {
  readonly pid: number;
  /** Resolves when the process is dead, so that nothing of it is under way any more, with how it ended. */
  readonly exited: Promise<string>;
  /** What it last told of itself. */
  info!: MountInfo;
  /** How serving ended; null while it has not, or where the process died of something else. */
  end: { error: Error | undefined } | null = null;
  /** Resolves when the reencryption of what it serves is done. */
  readonly reencrypted: Promise<Reencrypted>;
  readonly #child: ChildProcess;
  #line!: JsonLine<FromServer, ToServer>;
  readonly #stream: net.Socket;
  /**
   * Where the server's prompt channel reads, or null. It is one for each server, since to hand it to another would have the
   * server in place wait where it must not. Kept here, because what the server leaves unanswered fails with the last holder.
   */
  #promptFd: number | null;
  readonly #waiting = new Map<string, () => void>();
  #failure: LuksError | null = null;
  #hasExited = false;
  #resolveReencrypted!: (message: Reencrypted) => void;

  private constructor(child: ChildProcess, promptFd: number | null) {
    this.#child = child;
    this.#promptFd = promptFd;
    this.pid = child.pid!;
    this.reencrypted = new Promise((resolve) => {
      this.#resolveReencrypted = resolve;
    });
    // Not `exit`: by `close` all that it said has been heard as well. Not once(): that rejects at the error by which a child
    // tells that `signal` has killed it, before it is dead.
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#hasExited = true;
        resolve(`${signal ?? `status ${code}`}`);
      });
    });
    this.#stream = child.stdio[LINE_FD] as net.Socket;
  }

  /**
   * Returns when the server is ready to serve. Throws its reason where it is not, and nothing of it is left then.
   * @param promptFd taken over, and given up by `release`
   * @param signal kills it
   * @param limits after which it is given up
   */
  static async start(
    entry: string,
    descriptors: ServerDescriptors,
    promptFd: number | null,
    order: Omit<Order, 'hasPrompt'>,
    keys: VolumeKeys,
    signal: AbortSignal,
    limits = START_LIMITS,
  ): Promise<ServerProcess> {
    const stderr = process.env.DEBUG ? 'inherit' : 'ignore';
    const child = await spawnModule(entry, {
      stdio: ['ignore', 'ignore', stderr, 'pipe', ...descriptors, promptFd ?? 'ignore'],
      signal,
      killSignal: 'SIGKILL',
    }).catch((cause: Error) => {
      if (promptFd !== null) fs.closeSync(promptFd);
      throw new LuksError('DEVICE_IO', `cannot run ${entry}: ${cause.message}`, { cause });
    });
    const server = new ServerProcess(child, promptFd);
    const isSent = server.#receives({ ...order, hasPrompt: promptFd !== null }, keys);
    if ((await server.#comesTo('ready', limits)) && (await isSent)) return server;
    const isAlive = !server.#hasExited;
    server.kill();
    const how = await server.exited;
    server.release();
    throw (
      server.#failure ??
      new LuksError(
        'DEVICE_IO',
        isAlive
          ? `the server got nowhere while it started, and was ended; see whether ${order.options.labels.payload} can be read`
          : `the server ended before it was ready (${how})`,
      )
    );
  }

  async #receives(order: Order, keys: VolumeKeys): Promise<boolean> {
    const isSent = await sendOrder(this.#stream, order, keys);
    this.#line = new JsonLine(this.#stream, MAX_MESSAGE_CHARACTERS, {
      onMessage: (message) => this.#hear(message),
    });
    return isSent;
  }

  /** Lets it take requests: the server before it is dead. */
  serve(online: OnlineOrder | null): void {
    this.#line.send({ serve: { online } });
  }

  /** As long as it gets on: it may have to recover first what a reencryption was at. */
  serves(): Promise<boolean> {
    this.#line.send('describe');
    return this.#comesTo('mount', START_LIMITS);
  }

  /** Tells it the number of the mount's connection. */
  locate(connection: number): void {
    this.#line.send({ connection });
  }

  /** Has the reencryption go on, or pause. */
  follow(online: OnlineOrder): void {
    this.#line.send(online);
  }

  /** What it serves; as it last told where it does not answer. */
  async describe(): Promise<MountInfo> {
    await this.#answers();
    return this.info;
  }

  /** False where it is dead, or as good as that. */
  #answers(): Promise<boolean> {
    this.#line.send('describe');
    return this.#hears('mount', ANSWER_MS);
  }

  /** Has it answer what it took and take no more; it is to be killed after that. */
  async drain(): Promise<void> {
    this.#line.send('drain');
    await this.#hears('drained', DRAIN_MS);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Once it is dead, and what it has left is resent. */
  release(): void {
    if (this.#promptFd !== null) fs.closeSync(this.#promptFd);
    this.#promptFd = null;
  }

  /** False where it died, or got nowhere: a slow machine takes its time, and a server that hangs must not hold up the mount. */
  async #comesTo(word: string, { totalMs, stalledMs }: typeof START_LIMITS): Promise<boolean> {
    const end = Date.now() + totalMs;
    let before: number;
    let now = processorTicks(this.pid);
    do {
      if (await this.#hears(word, stalledMs)) return true;
      before = now;
      now = processorTicks(this.pid);
    } while (!this.#hasExited && now !== before && Date.now() < end);
    return false;
  }

  /** True once the server has said `word`; false where it died before, or had no more time. */
  async #hears(word: string, timeoutMs: number): Promise<boolean> {
    const timeout = new AbortController();
    const said = new Promise<boolean>((resolve) => {
      const before = this.#waiting.get(word);
      this.#waiting.set(word, () => {
        before?.();
        resolve(true);
      });
    });
    const tooLate = delay(timeoutMs, false, { signal: timeout.signal }).catch(() => false);
    const isSaid = await Promise.race([said, tooLate, this.exited.then(() => false)]);
    timeout.abort();
    return isSaid;
  }

  #hear(message: FromServer): void {
    if ('ready' in message) this.info = message.ready;
    if ('mount' in message) this.info = message.mount;
    if ('error' in message) this.#failure = fromErrorRecord(message.error);
    if ('reencrypted' in message) this.#resolveReencrypted(message.reencrypted);
    if ('closed' in message) this.end = { error: toError(message.closed.error) };
    const [word] = Object.keys(message) as [string];
    this.#waiting.get(word)?.();
    this.#waiting.delete(word);
  }
}

/** What all threads of a process have used of the processor (proc(5), "stat"); NaN, which equals nothing, where it is not told. */
function processorTicks(pid: number): number {
  try {
    const [, fields] = /\) (.*)$/s.exec(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'))!;
    const [user, system] = fields!.split(' ').slice(11);
    return Number(user) + Number(system);
  } catch {
    return Number.NaN;
  }
}

function toError(record: ErrorRecord | null): Error | undefined {
  return record ? fromErrorRecord(record) : undefined;
}
