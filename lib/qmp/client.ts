/**
 * QMP over QEMU's UNIX socket: a greeting, the handshake, answers by id, and the events between them.
 * docs/interop/qmp-spec: one JSON document a line, each way.
 */
import net from 'node:net';
import createDebug from 'debug';
import { LuksError } from '../errors.js';
import { heldByGuest, type Monitor, type QmpAnswer, type QmpCommand, requireReturn } from './monitor.js';

const debug = createDebug('luksfuse:qmp');

/** QEMU serves one client of a monitor at a time: the next one connects, and hears nothing. */
const GREETING_MS = 5000;
const ANSWER_MS = 30_000;
/** Of a line; answers about many disks are long, and this is far from any. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

interface Message extends QmpAnswer {
  QMP?: unknown;
  id?: number;
  event?: string;
  data?: { device?: string };
}

interface Waiter {
  isWanted(message: Message): boolean;
  resolve(message: Message): void;
  reject(error: Error): void;
}

export class QmpClient implements Monitor {
  readonly name: string;
  readonly #socket: net.Socket;
  readonly #waiters = new Set<Waiter>();
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #lastId = 0;
  #failure: LuksError | null = null;

  private constructor(path: string) {
    this.name = `QEMU at ${path}`;
    this.#socket = net.connect(path);
    this.#socket.on('data', (bytes) => this.#take(bytes));
    this.#socket.on('error', (cause) => this.#fail(`cannot be reached: ${cause.message}`, cause));
    this.#socket.on('close', () => this.#fail('has ended the connection'));
  }

  /** @throws LuksError DEVICE_IO where no QEMU answers, BUSY where it answers somebody else */
  static async connect(path: string, greetingMs = GREETING_MS): Promise<QmpClient> {
    const client = new QmpClient(path);
    try {
      const silent = () =>
        new LuksError(
          'BUSY',
          `${client.name} sends no greeting; another client may have its monitor, or it is stopped`,
        );
      await client.#wait(({ QMP }) => QMP !== undefined, greetingMs, silent);
      await client.execute({ execute: 'qmp_capabilities' });
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async execute(command: QmpCommand): Promise<unknown> {
    const id = ++this.#lastId;
    const silent = () =>
      new LuksError(
        'DEVICE_IO',
        `${this.name} does not answer ${command.execute}; see whether it is stopped`,
      );
    // What has no id answers what was no QMP, and there is no other command that it could be about.
    const isAnswer = (message: Message) => message.id === id || (!('id' in message) && 'error' in message);
    const answer = this.#wait(isAnswer, ANSWER_MS, silent);
    debug('%s', command.execute);
    this.#socket.write(`${JSON.stringify({ ...command, id })}\n`);
    return requireReturn(await answer, command, this.name);
  }

  async removeDevice(id: string, timeoutMs: number): Promise<void> {
    const isAbout = ({ event, data }: Message) =>
      data?.device === id && (event === 'DEVICE_DELETED' || event === 'DEVICE_UNPLUG_GUEST_ERROR');
    const inVain = () => heldByGuest(id, this.name, `it has had ${timeoutMs / 1000} s`);
    const [{ event }] = await Promise.all([
      this.#wait(isAbout, timeoutMs, inVain),
      this.execute({ execute: 'device_del', arguments: { id } }),
    ]);
    if (event !== 'DEVICE_DELETED') throw heldByGuest(id, this.name, 'it refuses');
  }

  close(): void {
    this.#socket.destroy();
  }

  #wait(isWanted: Waiter['isWanted'], timeoutMs: number, inVain: () => LuksError): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const end = <T>(settle: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          settle(value);
        };
      };
      const waiter: Waiter = { isWanted, resolve: end(resolve), reject: end(reject) };
      const timer = setTimeout(() => waiter.reject(inVain()), timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  #take(bytes: Buffer): void {
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      this.#pieces.push(bytes.subarray(start, end));
      const line = Buffer.concat(this.#pieces).toString();
      this.#pieces = [];
      this.#pieceBytes = 0;
      start = end + 1;
      this.#deliver(line);
    }
    this.#pieces.push(bytes.subarray(start));
    this.#pieceBytes += bytes.length - start;
    if (this.#pieceBytes > MAX_LINE_BYTES) this.#fail('sends a line without an end');
  }

  #deliver(line: string): void {
    if (line.trim() === '') return;
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      this.#fail('does not speak QMP');
      return;
    }
    if (message.event) debug('event %s %o', message.event, message.data);
    for (const waiter of [...this.#waiters]) {
      if (waiter.isWanted(message)) waiter.resolve(message);
    }
  }

  #fail(why: string, cause?: Error): void {
    this.#failure ??= new LuksError('DEVICE_IO', `${this.name} ${why}`, { cause });
    for (const waiter of [...this.#waiters]) waiter.reject(this.#failure);
    this.#socket.destroy();
  }
}
