/**
 * The header that a command changes: its argument, or the same thing as --header.
 */
import type { Command } from 'commander';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { descriptorOf } from './header.js';

export interface HeaderOption {
  header?: string;
}

export function addHeaderOption(command: Command): Command {
  return command.option('--header <file>', 'the detached header (the same as the argument)');
}

export interface ChangeOptions {
  /** For what would pull the rug from under a mounted volume, and claims the device: a block device is opened exclusively. */
  isDestructive?: boolean;
}

/**
 * Opens the header's device for writing, and closes it in the end. The volume may be mounted meanwhile, also where
 * the header is attached, but for destructive changes.
 */
export async function withHeaderDevice(
  argument: string,
  options: HeaderOption,
  use: (device: Device) => Promise<void>,
  { isDestructive = false }: ChangeOptions = {},
): Promise<void> {
  const path = options.header ?? argument;
  if (descriptorOf(path) !== null) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `a header that comes through ${path} is in memory only and cannot be changed; give its file`,
    );
  }
  const device = Device.open(path, { isReadOnly: false, isShared: !isDestructive });
  try {
    await use(device);
  } finally {
    device.close();
  }
}
