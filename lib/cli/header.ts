/**
 * The options that say where a header comes from that is only read, and opening it.
 */
import type { Command } from 'commander';
import { MemoryDevice, type ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { readCommandOutput } from '../keysource/command.js';
import { findDescriptor } from '../stream.js';
import { MAX_HEADER_BYTES, openHeaderDevice, readHeaderStream } from '../volume/header-device.js';
import { type LocatedHeader, locateHeaderOn } from '../volume/locate.js';

const STDIN = 0;

export interface HeaderOptions {
  header?: string;
  headerCommand?: string;
}

export function addHeaderOptions(command: Command): Command {
  return command
    .option('--header <file>', 'the detached header; a pipe, or - for standard input, is kept in memory')
    .option('--header-command <command>', 'the output of this shell command is the header; kept in memory');
}

/** The descriptor that `path`, as an option names it, is read from, or null for a file. */
export function descriptorOf(path: string): number | null {
  return path === '-' ? STDIN : findDescriptor(path);
}

/** As `descriptorOf`, of the header. */
export function headerDescriptor(options: HeaderOptions): number | null {
  return options.header === undefined ? null : descriptorOf(options.header);
}

/** The detached header, opened for reading, or null where none is named. The caller closes it. */
export async function openHeader(options: HeaderOptions): Promise<ReadableDevice | null> {
  const { header, headerCommand } = options;
  if (header !== undefined && headerCommand !== undefined) {
    throw new LuksError('BAD_ARGUMENT', '--header and --header-command exclude each other; give one');
  }
  if (headerCommand !== undefined) {
    const bytes = await readCommandOutput(headerCommand, 'the header command', MAX_HEADER_BYTES);
    return new MemoryDevice(bytes, 'the output of the header command');
  }
  if (header === undefined) return null;
  return header === '-' ? readHeaderStream(STDIN, 'standard input') : openHeaderDevice(header);
}

/** `options` with the argument that names the header as their --header; the two mean the same, as for cryptsetup. */
export function withArgument<T extends HeaderOptions>(argument: string | undefined, options: T): T {
  if (argument === undefined || options.header !== undefined) return options;
  return { ...options, header: argument };
}

/** The header that a command is about. The caller closes the device. */
export async function locateNamed(
  argument: string | undefined,
  options: HeaderOptions,
): Promise<LocatedHeader> {
  const device = await openHeader(withArgument(argument, options));
  if (device) return locateHeaderOn(device);
  throw new LuksError('BAD_ARGUMENT', 'no header is given; name its file, or - for standard input');
}
