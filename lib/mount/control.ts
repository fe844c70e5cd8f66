/**
 * The line between a daemon and the commands that speak to it: a UNIX socket with one JSON document a line.
 *
 * A daemon greets each visitor with what it serves and, when it has closed the payload, says how that went:
 *   {"mount": MountInfo}      {"closed": {"error": {code, message} | null}}
 * A connection that ends without `closed` means that the daemon died. Of a supervised mount the supervisor has this end:
 * the death of a server is not seen here. A visitor may ask for another server, or for a reencryption, and gets {"mount": …} or {"error": …}:
 *   {"upgrade": ServerProgram}      {"reencrypt": ReencryptRequest}
 */
import fs from 'node:fs';
import net from 'node:net';
import readline from 'node:readline';
import { type ErrorCode, LuksError } from '../errors.js';
import type { OnlineOrder, OnlineProgress } from '../volume/online.js';
import type { Driver } from './driver.js';
import type { KeyOffer } from './key-line.js';
import type { Activity } from './mount-session.js';
import { socketPathOf } from './registry.js';

/** A daemon greets at once; its main thread does nothing else. */
const GREETING_MS = 5000;

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

/** What a server is started from: the interpreter, and the module that it runs. */
export interface ServerProgram {
  node: string;
  entry: string;
}

/** What a mount answers to its visitors. */
export interface ControlHandlers {
  describe(): Promise<MountInfo>;
  /** Goes on with a server of this program. */
  upgrade(program: ServerProgram): Promise<void>;
  /** Has the reencryption in the header go on, or pause. */
  reencrypt(request: ReencryptRequest): Promise<void>;
}

export interface ReencryptRequest {
  order: OnlineOrder;
  /** Of one that was begun while the volume was mounted; null for one that the mount knows. */
  keys: KeyOffer | null;
}

type Message = { mount: MountInfo } | { closed: { error: ErrorRecord | null } } | { error: ErrorRecord };
type VisitorRequest = { upgrade: ServerProgram } | { reencrypt: ReencryptRequest };

/** Two paths; more is not one of ours. */
const MAX_REQUEST_CHARACTERS = 32 * 1024;

function send(socket: net.Socket, message: Message): void {
  socket.write(`${JSON.stringify(message)}\n`);
}

/** The daemon's end. */
export class ControlServer {
  readonly #server = net.createServer((socket) => void this.#greet(socket));
  readonly #visitors = new Set<net.Socket>();
  readonly #path: string;
  readonly #handlers: ControlHandlers;

  private constructor(mountpoint: string, handlers: ControlHandlers) {
    this.#handlers = handlers;
    this.#path = socketPathOf(mountpoint);
  }

  static async listen(mountpoint: string, handlers: ControlHandlers): Promise<ControlServer> {
    const control = new ControlServer(mountpoint, handlers);
    // A socket left by a daemon that died on this mountpoint; a living one would hold the mount.
    fs.rmSync(control.#path, { force: true });
    await new Promise<void>((resolve, reject) => {
      control.#server.once('error', reject);
      control.#server.listen(control.#path, resolve);
    });
    return control;
  }

  /** Tells every visitor that the payload is closed, and ends. */
  async close(error: unknown): Promise<void> {
    for (const visitor of this.#visitors) {
      send(visitor, { closed: { error: error ? toErrorRecord(error) : null } });
      visitor.destroySoon();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #greet(socket: net.Socket): Promise<void> {
    this.#visitors.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#visitors.delete(socket));
    let request = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      request += text;
      if (request.includes('\n')) {
        void this.#answer(socket, request);
        request = '';
      } else if (request.length > MAX_REQUEST_CHARACTERS) socket.destroy();
    });
    send(socket, { mount: await this.#handlers.describe() });
  }

  async #answer(socket: net.Socket, request: string): Promise<void> {
    try {
      const asked = JSON.parse(request) as VisitorRequest;
      if ('upgrade' in asked) await this.#handlers.upgrade(asked.upgrade);
      else await this.#handlers.reencrypt(asked.reencrypt);
      send(socket, { mount: await this.#handlers.describe() });
    } catch (error) {
      send(socket, { error: toErrorRecord(error) });
    }
  }
}

/** The end where the connection breaks: who dies resets a visitor that he has not let in yet (unix_release_sock). */
function nextLine(lines: AsyncIterator<string>): Promise<IteratorResult<string>> {
  return lines.next().catch(() => ({ done: true, value: undefined }));
}

/** A command's end: who serves a mountpoint, and the wait for its end. */
export class ControlClient {
  readonly info: MountInfo;
  readonly #socket: net.Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: net.Socket, lines: AsyncIterator<string>, info: MountInfo) {
    this.#socket = socket;
    this.#lines = lines;
    this.info = info;
  }

  /** Null where no daemon answers for `mountpoint`. */
  static async connect(mountpoint: string): Promise<ControlClient | null> {
    const socket = net.connect(socketPathOf(mountpoint));
    const lines = readline.createInterface({ input: socket })[Symbol.asyncIterator]();
    try {
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    } catch {
      return null;
    }
    // A daemon that is stopped, or in the last moments of its life, must not hold up who asks.
    const timer = setTimeout(() => socket.destroy(), GREETING_MS);
    const { done, value } = await nextLine(lines);
    clearTimeout(timer);
    if (done) return null;
    return new ControlClient(socket, lines, (JSON.parse(value) as { mount: MountInfo }).mount);
  }

  /** Resolves when the daemon has synced and closed the payload; throws what went wrong with that. */
  async waitUntilClosed(): Promise<void> {
    const message = await this.#nextMessage('before it closed the payload; check the data');
    if ('closed' in message && message.closed.error) throw fromErrorRecord(message.closed.error);
  }

  /** Has the mount served by a process of `program`. Returns what is mounted then; throws why it goes on as it was. */
  upgrade(program: ServerProgram): Promise<MountInfo> {
    return this.#ask({ upgrade: program });
  }

  /** Has a reencryption go on, or pause. Returns what is mounted then; throws why nothing of it came about. */
  reencrypt(request: ReencryptRequest): Promise<MountInfo> {
    return this.#ask({ reencrypt: request });
  }

  async #ask(request: VisitorRequest): Promise<MountInfo> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    const message = await this.#nextMessage('while it was to be replaced');
    if ('error' in message) throw fromErrorRecord(message.error);
    if ('mount' in message) return message.mount;
    throw new LuksError('DEVICE_IO', `${this.info.mountpoint} was unmounted meanwhile`);
  }

  async #nextMessage(when: string): Promise<Message> {
    const { done, value } = await nextLine(this.#lines);
    if (!done) return JSON.parse(value) as Message;
    const pid = this.info.supervisorPid ?? this.info.pid;
    throw new LuksError('DEVICE_IO', `the daemon ${pid} of ${this.info.payload} died ${when}`);
  }

  disconnect(): void {
    this.#socket.destroy();
  }
}
