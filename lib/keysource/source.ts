/**
 * Where key material can come from without anybody typing it, and reading it. Knows nothing of what it opens.
 */
import { wipe } from '../bytes.js';
import { readCommandOutput } from './command.js';
import { readCredentialFile } from './credential-file.js';
import { MAX_KEY_BYTES } from './key-bytes.js';
import { type KeyFileRange, readKeyDescriptor, readKeyFile } from './key-file.js';
import { readSecret, type SecretObject } from './secret-object.js';

const NEWLINE = 0x0a;

/** All bytes of each count, but for one newline at the end of a command's output. */
export type KeySource =
  /** A path; a stream socket is connected to. */
  | ({ file: string } & KeyFileRange)
  /** Inherited, and read to its end. */
  | ({ descriptor: number } & KeyFileRange)
  /** Run by /bin/sh. */
  | { command: string }
  | { secrets: readonly SecretObject[] }
  /** Name of a systemd credential. */
  | { credential: string };

async function readOutputLine(command: string): Promise<Buffer> {
  const output = await readCommandOutput(command, 'the key command', MAX_KEY_BYTES);
  if (output.at(-1) !== NEWLINE) return output;
  const key = Buffer.from(output.subarray(0, -1));
  wipe(output);
  return key;
}

/**
 * The bytes of `source`, the caller's to wipe. A key file's socket is told that they are for `volumeName`.
 * Throws BAD_ARGUMENT where they cannot be read.
 */
export async function readKeySource(source: KeySource, volumeName: string): Promise<Buffer> {
  if ('file' in source) return readKeyFile(source.file, volumeName, source);
  if ('descriptor' in source) return readKeyDescriptor(source.descriptor, source);
  if ('command' in source) return readOutputLine(source.command);
  if ('secrets' in source) return readSecret(source.secrets, volumeName);
  return readCredentialFile(source.credential, volumeName);
}
