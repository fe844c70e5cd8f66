/**
 * The commands that change keyslots: add-key, remove-key, change-key, kill-slot, erase.
 */
import type { Command } from 'commander';
import { wipe } from '../bytes.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import {
  addKey,
  changeKey,
  erase,
  killSlot,
  type NewPassphrase,
  type RemovalOptions,
  removeKey,
} from '../keyslot/keys.js';
import type { NewKeyslotOptions } from '../keyslot/new-keyslot.js';
import type { Unlock } from '../keyslot/unlock.js';
import { type BatchOption, confirm, readNewPassphrase } from './ask.js';
import { withKey } from './credential.js';
import {
  addCredentialOptions,
  type CredentialOptions,
  requireFreeStdin,
  wholeNumber,
} from './credential-options.js';
import { descriptorOf } from './header.js';
import { addHeaderOption, type HeaderOption, withHeaderDevice } from './header-option.js';
import { addKeyslotCipherOptions, type KeyslotCipherOptions, keyslotCipher } from './keyslot-cipher.js';
import { addJsonOption, announceResult, type JsonOption } from './output.js';
import { addPbkdfOptions, type PbkdfOptions, pbkdfChoice } from './pbkdf-options.js';

type CommonOptions = HeaderOption & JsonOption;

interface NewKeyOptions extends CommonOptions, CredentialOptions, KeyslotCipherOptions, PbkdfOptions {
  newKeyFile?: string;
  newKeySlot?: number;
}

type RemoveOptions = CommonOptions & CredentialOptions & RemovalOptions;

function newKeyslotOptions(options: NewKeyOptions): NewKeyslotOptions {
  const area = keyslotCipher(options);
  return {
    pbkdf: pbkdfChoice(options),
    ...(options.newKeySlot !== undefined && { keyslot: options.newKeySlot }),
    ...(area.encryption !== undefined && { encryption: area.encryption }),
    ...(area.keySizeBytes !== undefined && { encryptionKeySizeBytes: area.keySizeBytes }),
  };
}

/** For commands that are about a passphrase and not about the key behind it. */
function requirePassphrase(unlock: Unlock): Extract<Unlock, { passphrase: Uint8Array }> {
  if ('passphrase' in unlock) return unlock;
  throw new LuksError(
    'BAD_ARGUMENT',
    '--volume-key-file names no keyslot; give the passphrase, or use kill-slot',
  );
}

/** The option, or cryptsetup's second argument. */
function newKeyFileOf(argument: string | undefined, options: NewKeyOptions): string | undefined {
  const newKeyFile = options.newKeyFile ?? argument;
  const isStdin = newKeyFile !== undefined && descriptorOf(newKeyFile) === 0;
  if (isStdin) requireFreeStdin(options, 'the new key file');
  return newKeyFile;
}

/** Lets `use` ask for the new passphrase, once, when it wants it: after the old one has opened. Wiped afterwards. */
async function withNewPassphrase<T>(
  device: Device,
  keyFile: string | undefined,
  use: (newPassphrase: NewPassphrase) => Promise<T>,
): Promise<T> {
  let passphrase: Buffer | null = null;
  try {
    return await use(async () => {
      passphrase = await readNewPassphrase(device.path, keyFile);
      return passphrase;
    });
  } finally {
    wipe(passphrase);
  }
}

async function add(argument: string, file: string | undefined, options: NewKeyOptions): Promise<void> {
  const newKeyFile = newKeyFileOf(file, options);
  await withHeaderDevice(argument, options, (device) =>
    withKey({ device, header: readHeader(device) }, options, async (unlock) => {
      const keyslot = await withNewPassphrase(device, newKeyFile, (passphrase) =>
        addKey(device, unlock, passphrase, newKeyslotOptions(options)),
      );
      announceResult(options, { keyslot }, `Keyslot ${keyslot} added.`);
    }),
  );
}

async function change(argument: string, file: string | undefined, options: NewKeyOptions): Promise<void> {
  const newKeyFile = newKeyFileOf(file, options);
  await withHeaderDevice(argument, options, (device) =>
    withKey({ device, header: readHeader(device) }, options, async (given) => {
      const { passphrase: old, ...unlock } = requirePassphrase(given);
      const keyslot = await withNewPassphrase(device, newKeyFile, (passphrase) =>
        changeKey(device, old, passphrase, { ...newKeyslotOptions(options), unlock }),
      );
      announceResult(options, { keyslot }, `Keyslot ${keyslot} has the new key.`);
    }),
  );
}

function remove(argument: string, options: RemoveOptions): Promise<void> {
  return withHeaderDevice(argument, options, (device) =>
    withKey({ device, header: readHeader(device) }, options, async (given) => {
      const { passphrase, ...unlock } = requirePassphrase(given);
      const keyslot = await removeKey(device, passphrase, { force: options.force ?? false, unlock });
      announceResult(options, { keyslot }, `Keyslot ${keyslot} removed.`);
    }),
  );
}

/** `kill-slot <header> N`, as cryptsetup has it, or `kill-slot N <header>`. */
function slotAndHeader(first: string, second: string): { keyslot: number; argument: string } {
  const isNumber = (text: string) => /^\d+$/.test(text);
  if (isNumber(second)) return { keyslot: Number(second), argument: first };
  if (isNumber(first)) return { keyslot: Number(first), argument: second };
  throw new LuksError('BAD_ARGUMENT', `neither "${first}" nor "${second}" is a keyslot number; give one`);
}

function kill(
  first: string,
  second: string,
  options: CommonOptions & BatchOption & RemovalOptions,
): Promise<void> {
  const { keyslot, argument } = slotAndHeader(first, second);
  return withHeaderDevice(argument, options, async (device) => {
    confirm(`Keyslot ${keyslot} of ${device.path} will be destroyed`, options);
    await killSlot(device, keyslot, { force: options.force ?? false });
    announceResult(options, { keyslot }, `Keyslot ${keyslot} destroyed.`);
  });
}

function eraseAll(argument: string, options: CommonOptions & BatchOption): Promise<void> {
  return withHeaderDevice(
    argument,
    options,
    async (device: Device) => {
      confirm(
        `All keyslots of ${device.path} will be destroyed; without a backup its data is lost for ever`,
        options,
      );
      await erase(device);
      announceResult(options, { erased: device.path }, `All keyslots of ${device.path} destroyed.`);
    },
    { isDestructive: true },
  );
}

function addNewKeyOptions(command: Command): Command {
  return addPbkdfOptions(addKeyslotCipherOptions(command)).option(
    '--new-key-file <file>',
    'all bytes of this file are the new passphrase; - is standard input',
  );
}

export function addKeyslotCommands(program: Command): void {
  const addCommand = program
    .command('add-key <header> [new-key-file]')
    .alias('luksAddKey')
    .description('add a passphrase');
  addNewKeyOptions(addCredentialOptions(addJsonOption(addHeaderOption(addCommand))))
    .option('--new-key-slot <n>', 'number of the new keyslot', wholeNumber)
    .action(add);

  const changeCommand = program
    .command('change-key <header> [new-key-file]')
    .alias('luksChangeKey')
    .description('replace a passphrase by another');
  addNewKeyOptions(addCredentialOptions(addJsonOption(addHeaderOption(changeCommand)))).action(change);

  const removeCommand = program
    .command('remove-key <header>')
    .alias('luksRemoveKey')
    .description('remove the passphrase that is given');
  addCredentialOptions(addJsonOption(addHeaderOption(removeCommand)))
    .option('--force', 'also the last one')
    .action(remove);

  addJsonOption(addHeaderOption(program.command('kill-slot <header> <n>').alias('luksKillSlot')))
    .description('destroy a keyslot without its passphrase')
    .option('--force', 'also the last one')
    .option('-q, --batch-mode', 'do not ask')
    .action(kill);

  addJsonOption(addHeaderOption(program.command('erase <header>').alias('luksErase')))
    .description('destroy all keyslots')
    .option('-q, --batch-mode', 'do not ask')
    .action(eraseAll);
}
