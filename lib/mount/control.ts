/**
 * The line between a daemon and the commands that speak to it: a UNIX socket with one JSON document a line.
 *
 * A daemon greets each visitor with what it serves and, when it has closed the payload, says how that went:
 *   {"mount": MountInfo}      {"closed": {"error": {code, message} | null}}
 * A connection that ends without `closed` means that the daemon died; one without a greeting, that it is stopped. The
 * supervisor of a mount has this end: the death of a server is not seen here. A visitor may ask for another server, or for a
 * reencryption, and gets {"mount": …} or {"error": …}:
 *   {"upgrade": {"entry": path}}      {"reencrypt": ReencryptRequest}
 */
import fs from 'node:fs';
import net from 'node:net';
import { type ErrorCode, isSystemError, LuksError } from '../errors.js';
import type { OnlineOrder, OnlineProgress } from '../volume/online.js';
import type { Driver } from './driver.js';
import { JsonLine } from './json-line.js';
import type { KeyOffer } from './key-line.js';
import type { Activity } from './mount-session.js';
import type { MountEntry } from './mount-table.js';
import { findSocketPaths, newSocketPath } from './registry.js';

/** A daemon greets at once; its main thread does nothing else. */
const GREETING_MS = 5000;
/** How long a visitor may take to read the last word. */
const PARTING_MS = 2000;
/** Another server may take its time to start (START_LIMITS), and recovers what was under way. */
const REPLACING_MS = 1_000_000;

/** What a mount is, for people and for `umount`. */
export interface MountInfo {
  /** The process that serves. */
  pid: number;
  /** The process that starts another when that one dies; null where nobody does. */
  supervisorPid: number | null;
  mountpoint: string;
  /** The path of the plaintext. */
  file: string;
  driver: Driver;
  payload: string;
  header: string;
  uuid: string;
  cipher: string;
  sectorSize: number;
  sizeBytes: number;
  isReadOnly: boolean;
  allowsDiscards: boolean;
  /** Which implementation of the cipher runs. */
  engine: string;
  /** Null where none has begun that has not ended. */
  reencryption: OnlineProgress | null;
  /** As of the moment when it was asked. */
  activity: Activity;
  /** What it has to do without, with the cure; a daemon of an older version does not tell. */
  warnings?: string[];
}

/** An error as it crosses a process border. */
export interface ErrorRecord {
  code: ErrorCode;
  message: string;
}

export function toErrorRecord(error: unknown): ErrorRecord {
  if (error instanceof LuksError) return { code: error.code, message: error.message };
  return { code: 'DEVICE_IO', message: error instanceof Error ? error.message : String(error) };
}

export function fromErrorRecord(record: ErrorRecord): LuksError {
  return new LuksError(record.code, record.message);
}

/** What a mount answers to its visitors. */
export interface ControlHandlers {
  describe(): Promise<MountInfo>;
  /** Goes on with a server that runs this module. */
  upgrade(entry: string): Promise<void>;
  /** Has the reencryption in the header go on, or pause. */
  reencrypt(request: ReencryptRequest): Promise<void>;
}

export interface ReencryptRequest {
  order: OnlineOrder;
  /** Of one that was begun while the volume was mounted; null for one that the mount knows. */
  keys: KeyOffer | null;
}

type Message = { mount: MountInfo } | { closed: { error: ErrorRecord | null } } | { error: ErrorRecord };
type VisitorRequest = { upgrade: { entry: string } } | { reencrypt: ReencryptRequest };

/** A path, or an order; more is not one of ours. */
const MAX_REQUEST_CHARACTERS = 32 * 1024;
/** Paths and sentences. */
const MAX_ANSWER_CHARACTERS = 1024 * 1024;

/** The daemon's end. */
export class ControlServer {
  readonly #server = net.createServer((socket) => void this.#greet(socket));
  readonly #visitors = new Set<JsonLine<VisitorRequest, Message>>();
  readonly #handlers: ControlHandlers;

  private constructor(handlers: ControlHandlers) {
    this.#handlers = handlers;
  }

  /** @param connection of the mount */
  static async listen(connection: number, handlers: ControlHandlers): Promise<ControlServer> {
    const control = new ControlServer(handlers);
    const path = newSocketPath(connection);
    // As long as the mount is there its number is no other's: what has it, is left by a daemon that died.
    fs.rmSync(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      control.#server.once('error', reject);
      control.#server.listen(path, resolve);
    });
    return control;
  }

  /** Tells every visitor that the payload is closed, and ends. */
  async close(error: unknown): Promise<void> {
    for (const visitor of this.#visitors) {
      visitor.send({ closed: { error: error ? toErrorRecord(error) : null } });
      visitor.close();
    }
    // One that does not read, as it is stopped, would have the daemon wait for it to take the last word.
    const impatience = setTimeout(() => {
      for (const visitor of this.#visitors) visitor.destroy();
    }, PARTING_MS);
    await new Promise((resolve) => this.#server.close(resolve));
    clearTimeout(impatience);
  }

  async #greet(socket: net.Socket): Promise<void> {
    const visitor: JsonLine<VisitorRequest, Message> = new JsonLine(socket, MAX_REQUEST_CHARACTERS, {
      onMessage: (request: VisitorRequest) => void this.#tell(visitor, () => this.#obey(request)),
      onEnd: () => this.#visitors.delete(visitor),
    });
    this.#visitors.add(visitor);
    await this.#tell(visitor, async () => {});
  }

  async #obey(request: VisitorRequest): Promise<void> {
    if ('upgrade' in request) await this.#handlers.upgrade(request.upgrade.entry);
    else if ('reencrypt' in request) await this.#handlers.reencrypt(request.reencrypt);
    else throw new LuksError('BAD_ARGUMENT', 'nothing that a mount can be asked for');
  }

  /** What is mounted after `act`, or why that failed. */
  async #tell(visitor: JsonLine<VisitorRequest, Message>, act: () => Promise<void>): Promise<void> {
    try {
      await act();
      visitor.send({ mount: await this.#handlers.describe() });
    } catch (error) {
      visitor.send({ error: toErrorRecord(error) });
    }
  }
}

/** One that is there and says nothing: stopped, say by a container's freezer, or not ours. */
function silent({ mountpoint }: MountEntry): LuksError {
  return new LuksError(
    'DEVICE_IO',
    `the daemon of ${mountpoint} does not answer: it is stopped, or the machine is overloaded; see ps for its processes`,
  );
}

/** A command's end: who serves a mount, and the wait for its end. */
export class ControlClient {
  info!: MountInfo;
  readonly #line: JsonLine<Message, VisitorRequest>;
  readonly #heard: Message[] = [];
  #hasEnded = false;
  #onNews = () => {};

  private constructor(socket: net.Socket) {
    this.#line = new JsonLine(socket, MAX_ANSWER_CHARACTERS, {
      onMessage: (message: Message) => {
        this.#heard.push(message);
        this.#onNews();
      },
      onEnd: () => {
        this.#hasEnded = true;
        this.#onNews();
      },
    });
  }

  /**
   * Null where nobody listens for the mount: its daemon died, or is out of reach.
   * @throws LuksError DEVICE_IO where one does, and does not answer
   */
  static async connect(mount: MountEntry): Promise<ControlClient | null> {
    for (const path of findSocketPaths(mount.connection, mount.ownerUid)) {
      const client = await ControlClient.#visit(path, mount);
      if (client) return client;
    }
    return null;
  }

  static async #visit(path: string, mount: MountEntry): Promise<ControlClient | null> {
    const socket = net.connect(path);
    const client = new ControlClient(socket);
    try {
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    } catch (error) {
      // Its queue of visitors is full.
      if (isSystemError(error) && error.code === 'EAGAIN') throw silent(mount);
      return null;
    }
    const greeting = await client.#next(GREETING_MS);
    if (greeting && 'mount' in greeting) {
      client.info = greeting.mount;
      return client;
    }
    const isSilent = !greeting && !client.#hasEnded;
    client.disconnect();
    if (greeting && 'error' in greeting) throw fromErrorRecord(greeting.error);
    if (isSilent) throw silent(mount);
    return null;
  }

  /**
   * Resolves when the daemon has synced and closed the payload; throws what went wrong with that.
   * @param timeoutMs DEVICE_IO after that
   */
  async waitUntilClosed(timeoutMs: number): Promise<void> {
    const message = await this.#require(timeoutMs, 'before it closed the payload; check the data');
    if ('closed' in message && message.closed.error) throw fromErrorRecord(message.closed.error);
  }

  /**
   * Has the mount served by a process that runs the module `entry`. Returns what is mounted then; throws why it goes on as it
   * was.
   */
  upgrade(entry: string): Promise<MountInfo> {
    return this.#ask({ upgrade: { entry } });
  }

  /** Has a reencryption go on, or pause. Returns what is mounted then; throws why nothing of it came about. */
  reencrypt(request: ReencryptRequest): Promise<MountInfo> {
    return this.#ask({ reencrypt: request });
  }

  async #ask(request: VisitorRequest): Promise<MountInfo> {
    this.#line.send(request);
    const message = await this.#require(REPLACING_MS, 'while it was to be replaced');
    if ('error' in message) throw fromErrorRecord(message.error);
    if ('mount' in message) return message.mount;
    throw new LuksError('DEVICE_IO', `${this.info.mountpoint} was unmounted meanwhile`);
  }

  async #require(timeoutMs: number, when: string): Promise<Message> {
    const message = await this.#next(timeoutMs);
    if (message) return message;
    const pid = this.info.supervisorPid ?? this.info.pid;
    const how = this.#hasEnded ? 'died' : `said nothing for ${timeoutMs / 1000} s`;
    throw new LuksError('DEVICE_IO', `the daemon ${pid} of ${this.info.payload} ${how} ${when}`);
  }

  /** The next that is said; null where nothing is, be it that the daemon is gone. */
  async #next(timeoutMs: number): Promise<Message | null> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#onNews();
    }, timeoutMs);
    while (this.#heard.length === 0 && !this.#hasEnded && !isLate) {
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
      });
    }
    clearTimeout(timer);
    return this.#heard.shift() ?? null;
  }

  disconnect(): void {
    this.#line.destroy();
  }
}
