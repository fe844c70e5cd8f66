/**
 * Where the program writes: all text for people and machines leaves through here. Text may come from a header, a path or
 * another user's mount, so what would steer a terminal is shown as its code.
 */
import fs from 'node:fs';
import tty from 'node:tty';
import type { Command } from 'commander';
import { isSystemError, LuksError } from '../errors.js';
import { encodeName, showRawBytes } from '../native/raw-names.js';
import { sleepSync } from '../sleep.js';
import { visible } from '../visible.js';

const STDOUT = 1;
const STDERR = 2;
/** Before a terminal or pipe that is full, and does not wait, is tried again. */
const RETRY_MS = 5;

export interface JsonOption {
  json?: boolean;
}

export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print one JSON document');
}

/** The reader of standard output has gone away, as head(1) does when it has enough. The program then ends in peace. */
export class ReaderGone extends Error {}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += fs.writeSync(fd, bytes, done);
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'EAGAIN') throw error;
      sleepSync(RETRY_MS);
    }
  }
}

/** Bytes as they are. Returns when all is out. Throws ReaderGone, or DEVICE_IO where standard output refuses. */
export function writeOut(bytes: Uint8Array): void {
  try {
    writeAll(STDOUT, bytes);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    if (cause.code === 'EPIPE') throw new ReaderGone();
    throw new LuksError('DEVICE_IO', `cannot write to standard output: ${cause.message}`, { cause });
  }
}

/** A line as `fd` takes it: a file's name as it is, but on a terminal. */
function lineFor(fd: number, text: string): Buffer {
  const line = `${visible(text)}\n`;
  return encodeName(tty.isatty(fd) ? showRawBytes(line) : line);
}

/** Text to standard output, and a newline. Throws as `writeOut`. */
export function print(text: string): void {
  writeOut(lineFor(STDOUT, text));
}

/** A line for people, on standard error. What cannot be told there, cannot be told. */
export function tell(text: string): void {
  try {
    writeAll(STDERR, lineFor(STDERR, text));
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

export function warn(text: string): void {
  tell(`luksfuse: warning: ${text}`);
}

/** As `print`, about work that is done, or goes on: that it cannot be told is no failure of it. */
export function announce(text: string): void {
  try {
    print(text);
  } catch (error) {
    if (error instanceof LuksError) warn(error.message);
    else if (!(error instanceof ReaderGone)) throw error;
  }
}

function resultText({ json }: JsonOption, document: object, text: string): string {
  return json ? JSON.stringify(document, null, 2) : text;
}

/** The document with --json, else the text; an empty text prints nothing. */
export function printResult(options: JsonOption, document: object, text: string): void {
  const result = resultText(options, document, text);
  if (result !== '') print(result);
}

/** The same as `announce`. */
export function announceResult(options: JsonOption, document: object, text: string): void {
  const result = resultText(options, document, text);
  if (result !== '') announce(result);
}
