/**
 * Asks for a passphrase on /dev/tty, without echo. The bytes stay in Buffers that are wiped.
 */
import fs from 'node:fs';
import { constants } from 'node:os';
import tty from 'node:tty';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { visible } from '../visible.js';

/** As cryptsetup's limit for passphrases that are typed. */
const MAX_PASSPHRASE_BYTES = 512;

const CTRL_C = 0x03;
const CTRL_D = 0x04;
const CTRL_U = 0x15;
const BACKSPACE = 0x08;
const DELETE = 0x7f;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Raised by Ctrl-C and by signals at a prompt; the program then ends as if by that signal. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** A line being typed: bytes in, with the editing keys of a terminal's own line mode. */
export class PassphraseLine {
  readonly #bytes = Buffer.alloc(MAX_PASSPHRASE_BYTES);
  #length = 0;

  /** True when this byte ended the line. */
  type(byte: number): boolean {
    if (byte === NEWLINE || byte === RETURN || byte === CTRL_D) return true;
    if (byte === CTRL_C) throw new Interrupted('SIGINT');
    if (byte === CTRL_U) this.#truncate(0);
    else if (byte === BACKSPACE || byte === DELETE) this.#eraseCharacter();
    else this.#append(byte);
    return false;
  }

  /** A copy of what was typed, the caller's to wipe. */
  take(): Buffer {
    const passphrase = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.wipe();
    return passphrase;
  }

  wipe(): void {
    this.#truncate(0);
  }

  #append(byte: number): void {
    if (this.#length === MAX_PASSPHRASE_BYTES) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `a typed passphrase has at most ${MAX_PASSPHRASE_BYTES} bytes; give a longer one with --key-file`,
      );
    }
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  /** One UTF-8 character: its continuation bytes (10xxxxxx) and the byte that leads them. */
  #eraseCharacter(): void {
    let length = this.#length;
    while (length > 0 && (this.#bytes[length - 1]! & 0xc0) === 0x80) length -= 1;
    this.#truncate(Math.max(0, length - 1));
  }

  #truncate(length: number): void {
    this.#bytes.fill(0, length);
    this.#length = length;
  }
}

/** Feeds what is typed to `line` until that is ended. A signal meanwhile is an `Interrupted`. */
async function readLine(input: tty.ReadStream, line: PassphraseLine): Promise<void> {
  let stop: (error: unknown) => void;
  const onSignal = (signal: NodeJS.Signals) => stop(new Interrupted(signal));
  const onHangup = () => stop(new Interrupted('SIGHUP'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  try {
    await new Promise<void>((resolve, reject) => {
      stop = reject;
      input.once('end', onHangup).once('error', onHangup);
      input.on('data', (chunk: Buffer) => {
        try {
          if (chunk.some((byte) => line.type(byte))) resolve();
        } catch (error) {
          reject(error);
        } finally {
          wipe(chunk);
        }
      });
    });
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

/**
 * Shows `prompt` on the terminal and returns the bytes typed up to the newline. The caller wipes them.
 * Throws `Interrupted` at Ctrl-C or a signal. The terminal is as it was before when this returns or throws.
 */
export async function askPassphrase(prompt: string): Promise<Buffer> {
  let fd: number;
  try {
    fd = fs.openSync('/dev/tty', 'r+');
  } catch (cause) {
    throw new LuksError('BAD_ARGUMENT', 'no terminal to ask for a passphrase on; give --key-file', { cause });
  }
  const input = new tty.ReadStream(fd);
  const line = new PassphraseLine();
  try {
    input.setRawMode(true);
    fs.writeSync(fd, visible(prompt));
    await readLine(input, line);
    return line.take();
  } finally {
    line.wipe();
    input.setRawMode(false);
    fs.writeSync(2, '\n');
    input.destroy();
  }
}
