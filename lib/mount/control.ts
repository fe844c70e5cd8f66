/**
 * The line between a daemon and the commands that speak to it: a UNIX socket with one JSON document a line.
 *
 * A daemon greets each visitor with what it serves and, when it has closed the payload, says how that went:
 *   {"mount": MountInfo}      {"closed": {"error": {code, message} | null}}
 * A connection that ends without `closed` means that the daemon died.
 */
import fs from 'node:fs';
import net from 'node:net';
import readline from 'node:readline';
import { type ErrorCode, LuksError } from '../errors.js';
import type { Driver } from './driver.js';
import type { Activity } from './mount-session.js';
import { socketPathOf } from './registry.js';

/** A daemon greets at once; its main thread does nothing else. */
const GREETING_MS = 5000;

/** What a mount is, for people and for `umount`. */
export interface MountInfo {
  pid: number;
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
  /** As of the moment when it was asked. */
  activity: Activity;
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

type Message = { mount: MountInfo } | { closed: { error: ErrorRecord | null } };

function send(socket: net.Socket, message: Message): void {
  socket.write(`${JSON.stringify(message)}\n`);
}

/** The daemon's end. */
export class ControlServer {
  readonly #server = net.createServer((socket) => this.#greet(socket));
  readonly #visitors = new Set<net.Socket>();
  readonly #path: string;
  readonly #describe: () => MountInfo;

  private constructor(describe: () => MountInfo) {
    this.#describe = describe;
    this.#path = socketPathOf(describe().mountpoint);
  }

  /** @param describe the mount as it is when a visitor comes */
  static async listen(describe: () => MountInfo): Promise<ControlServer> {
    const control = new ControlServer(describe);
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

  #greet(socket: net.Socket): void {
    this.#visitors.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#visitors.delete(socket));
    socket.resume();
    send(socket, { mount: this.#describe() });
  }
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
    const { done, value } = await lines.next();
    clearTimeout(timer);
    if (done) return null;
    return new ControlClient(socket, lines, (JSON.parse(value) as { mount: MountInfo }).mount);
  }

  /** Resolves when the daemon has synced and closed the payload; throws what went wrong with that. */
  async waitUntilClosed(): Promise<void> {
    const { done, value } = await this.#lines.next();
    if (done) {
      throw new LuksError(
        'DEVICE_IO',
        `the daemon ${this.info.pid} died before it closed ${this.info.payload}; check the data`,
      );
    }
    const { closed } = JSON.parse(value) as { closed: { error: ErrorRecord | null } };
    if (closed.error) throw fromErrorRecord(closed.error);
  }

  disconnect(): void {
    this.#socket.destroy();
  }
}
