/**
 * The options that say where a key comes from: what they are, which exclude each other, which source they mean.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { LuksError } from '../errors.js';
import type { KeyFileRange } from '../keysource/key-file.js';
import type { SecretObject } from '../keysource/secret-object.js';
import type { KeySource } from '../keysource/source.js';
import { descriptorOf, type HeaderOptions, headerDescriptor } from './header.js';
import { parseSecretOption } from './secret-option.js';

export interface CredentialOptions extends HeaderOptions {
  keyFile?: string;
  keyfileOffset?: number;
  keyfileSize?: number;
  keySlot?: number;
  volumeKeyFile?: string;
  passphraseFd?: number;
  keyCommand?: string;
  secret?: SecretObject[];
  tokenId?: number;
  credential?: string;
  tries: number;
  forceKdfLimits?: boolean;
  allowNullCipher?: boolean;
}

/** Each of these says on its own where the key comes from. */
const SOURCES = {
  '--key-file': 'keyFile',
  '--volume-key-file': 'volumeKeyFile',
  '--passphrase-fd': 'passphraseFd',
  '--key-command': 'keyCommand',
  '--secret': 'secret',
  '--token-id': 'tokenId',
  '--credential': 'credential',
} as const satisfies Record<string, keyof CredentialOptions>;

/** A non-negative whole number, for an option's value. */
export function wholeNumber(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number, 0 or more.');
  return value;
}

function gatherSecrets(text: string, gathered: SecretObject[] = []): SecretObject[] {
  return [...gathered, parseSecretOption(text)];
}

/** The options, and the check of them before the command begins. */
export function addCredentialOptions(command: Command): Command {
  return command
    .option(
      '-d, --key-file <file>',
      'all bytes of this file or socket are the passphrase; - is standard input',
    )
    .option('--keyfile-offset <bytes>', 'skip this many bytes of the key file', wholeNumber)
    .option('--keyfile-size <bytes>', 'use this many bytes of the key file', wholeNumber)
    .option('--passphrase-fd <n>', 'all bytes of this file descriptor are the passphrase', wholeNumber)
    .option('--key-command <command>', 'the output of this shell command is the passphrase')
    .option('--secret <object>', "QEMU's secret object: file=F|keyring=KEY[,format=base64]…", gatherSecrets)
    .option('--token-id <n>', "the key that this token names in the kernel's keyring", wholeNumber)
    .option('--credential <name>', 'the systemd credential with this name is the passphrase')
    .option('-S, --key-slot <n>', 'try only this keyslot', wholeNumber)
    .option('--volume-key-file <file>', 'the volume key itself, instead of a passphrase')
    .option('--tries <n>', 'how often to ask for a passphrase', wholeNumber, 3)
    .option('--force-kdf-limits', 'accept a header whose key derivation exceeds the safe cost limits')
    .option('--allow-null-cipher', 'accept a keyslot or volume that is not encrypted at all')
    .hook('preAction', (_, action) => checkCredentialOptions(action.opts()));
}

/** Files that the key is read from, by the option that names them. */
function* keyPaths(options: CredentialOptions): Generator<[option: string, path: string]> {
  if (options.keyFile !== undefined) yield ['--key-file', options.keyFile];
  if (options.volumeKeyFile !== undefined) yield ['--volume-key-file', options.volumeKeyFile];
  if (options.passphraseFd !== undefined) yield ['--passphrase-fd', `/dev/fd/${options.passphraseFd}`];
  for (const { from } of options.secret ?? []) if ('file' in from) yield ['--secret', from.file];
}

/** Throws BAD_ARGUMENT, naming both, for options that cannot go together. */
export function checkCredentialOptions(options: CredentialOptions): void {
  const given = Object.entries(SOURCES).filter(([, name]) => options[name] !== undefined);
  if (given.length > 1) {
    const [[one], [other]] = given as [[string, string], [string, string]];
    throw new LuksError('BAD_ARGUMENT', `${one} and ${other} exclude each other; give one`);
  }
  const hasRange = options.keyfileOffset !== undefined || options.keyfileSize !== undefined;
  if (hasRange && options.keyFile === undefined) {
    throw new LuksError('BAD_ARGUMENT', '--keyfile-offset and --keyfile-size need --key-file');
  }
  const taken = headerDescriptor(options);
  if (taken === null) return;
  for (const [option, path] of keyPaths(options)) {
    if (descriptorOf(path) !== taken) continue;
    const what = taken === 0 ? 'standard input' : `file descriptor ${taken}`;
    throw new LuksError(
      'BAD_ARGUMENT',
      `--header and ${option} both read ${what}; pass one of them otherwise`,
    );
  }
}

/** Throws BAD_ARGUMENT where the header or key would be all of standard input, which is `what` already. */
export function requireFreeStdin(options: CredentialOptions, what: string): void {
  const [keyOption] = [...keyPaths(options)].find(([, path]) => descriptorOf(path) === 0) ?? [];
  const option = headerDescriptor(options) === 0 ? '--header' : keyOption;
  if (option) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `${option} reads standard input, which is ${what}; pass it otherwise`,
    );
  }
}

/** Throws BAD_ARGUMENT where both key files are read from one descriptor, of which each would take all. */
export function requireOneReader(volumeKeyFile: string | undefined, keyFile: string): void {
  const descriptor = descriptorOf(keyFile);
  if (descriptor === null || volumeKeyFile === undefined || descriptorOf(volumeKeyFile) !== descriptor)
    return;
  throw new LuksError('BAD_ARGUMENT', `${keyFile} cannot be two key files; pass one of them otherwise`);
}

/** What an option means that names a key file. */
export function fileSource(path: string, range: KeyFileRange = {}): KeySource {
  const descriptor = descriptorOf(path);
  return descriptor === null ? { file: path, ...range } : { descriptor, ...range };
}

/** Where the options say that the passphrase, or the volume key, comes from; null where they leave it open. */
export function findKeySource(options: CredentialOptions): KeySource | null {
  const { keyFile, volumeKeyFile, passphraseFd, keyCommand, secret, credential } = options;
  const path = keyFile ?? volumeKeyFile;
  const range = { offsetBytes: options.keyfileOffset, sizeBytes: options.keyfileSize };
  if (path !== undefined) return fileSource(path, range);
  if (passphraseFd !== undefined) return { descriptor: passphraseFd };
  if (keyCommand !== undefined) return { command: keyCommand };
  if (secret !== undefined) return { secrets: secret };
  return credential === undefined ? null : { credential };
}
