/**
 * `luksfuse encrypt`, `decrypt` and `reencrypt`: a payload rewritten in place, resumable.
 */
import fs from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { formatBytes, wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import { withReencryptionLock } from '../format/lock.js';
import type { ReencryptionMode } from '../format/reencryption.js';
import { begunMode, findGiveback } from '../format/reencryption-giveback.js';
import type { Unlock } from '../keyslot/unlock.js';
import { readKeySource } from '../keysource/source.js';
import type { FormatOptions } from '../volume/create.js';
import { findContent } from '../volume/header-file.js';
import { beginDecryption, beginEncryption, beginReencryption } from '../volume/reencrypt-begin.js';
import { beginShiftedEncryption, restoreSpareHeader } from '../volume/reencrypt-shift-begin.js';
import { confirm, readNewPassphrase } from './ask.js';
import { withKey } from './credential.js';
import { findKeySource, wholeNumber } from './credential-options.js';
import { addPbkdfOptions, type PbkdfOptions, pbkdfChoice } from './pbkdf-options.js';
import { continueGiveback, decryptAttached, requireDetached } from './reencrypt-giveback.js';
import { checkOnlineOptions, type OnlineOptions, reencryptOnline } from './reencrypt-online.js';
import {
  addReencryptOptions,
  beginOptions,
  checkReencryptOptions,
  type ReencryptCommandOptions,
} from './reencrypt-options.js';
import { type Devices, finishReencryption, printBegun, withDevices } from './reencrypt-run.js';
import { byteSize, keySizeBytes } from './sizes.js';

interface CipherOptions extends ReencryptCommandOptions, PbkdfOptions {
  cipher?: string;
  keySize?: number;
  sectorSize?: number;
}

interface EncryptOptions extends CipherOptions {
  reduceDeviceSize?: number;
  hash?: string;
  uuid?: string;
  label?: string;
}

interface ReencryptOptions extends CipherOptions, OnlineOptions {
  keepKey?: boolean;
}

const PBKDF_NAMES = ['pbkdf', 'pbkdfMemory', 'pbkdfParallel', 'pbkdfForceIterations', 'iterTime'];
const CIPHER_NAMES = ['cipher', 'keySize', 'sectorSize', ...PBKDF_NAMES];

function cipherOptions({ cipher, keySize, sectorSize }: CipherOptions) {
  return {
    ...(cipher !== undefined && { encryption: cipher }),
    ...(keySize !== undefined && { keySizeBytes: keySizeBytes('--key-size', keySize) }),
    ...(sectorSize !== undefined && { sectorSizeBytes: sectorSize }),
  };
}

/** Goes on with what was begun; `mode` is what the command is for, null where it is for any. */
function resume(
  payload: string,
  mode: ReencryptionMode | null,
  options: ReencryptCommandOptions,
): Promise<void> {
  return withDevices(payload, options.header, async (devices) => {
    const header = readHeader(devices.device);
    const begun = begunMode(header);
    if (mode !== null && mode !== begun) {
      throw new LuksError('BAD_ARGUMENT', `what was begun is: ${begun}; go on with that command`);
    }
    await withKey({ device: devices.device, header }, options, (unlock) =>
      finishReencryption(devices, unlock, options),
    );
  });
}

/** The work that was just begun, unless that is left to another command. */
async function runBegun(devices: Devices, unlock: Unlock, options: ReencryptCommandOptions): Promise<void> {
  if (options.initOnly) printBegun(devices.device, options);
  else await finishReencryption(devices, unlock, options);
}

/** Begins, and unless --init-only does the work with the same key. */
async function beginAndFinish(
  devices: Devices,
  question: string,
  options: ReencryptCommandOptions,
  begin: (unlock: Unlock) => Promise<void>,
): Promise<void> {
  confirm(question, options);
  const located = { device: devices.device, header: readHeader(devices.device) };
  await withKey(located, options, async (unlock) => {
    await begin(unlock);
    await runBegun(devices, unlock, options);
  });
}

/** The passphrase of the new header. */
async function readFirstPassphrase(header: string, options: EncryptOptions): Promise<Buffer> {
  if (options.volumeKeyFile !== undefined || options.tokenId !== undefined) {
    throw new LuksError('BAD_ARGUMENT', 'encrypt makes a volume key of its own; give a passphrase for it');
  }
  const source = findKeySource(options);
  return source ? readKeySource(source, basename(header)) : readNewPassphrase(header, undefined);
}

function newHeaderOptions(options: EncryptOptions): FormatOptions {
  const { hash, uuid, label, keySlot } = options;
  return {
    ...cipherOptions(options),
    pbkdf: pbkdfChoice(options),
    overwrite: true, // the person was asked
    ...(hash !== undefined && { hash }),
    ...(uuid !== undefined && { uuid }),
    ...(label !== undefined && { label }),
    ...(keySlot !== undefined && { keyslot: keySlot }),
  };
}

/** What --reduce-device-size excludes: the data is moved by as much at a time, and where it is read from is not written. */
const UNSHIFTED = ['header', 'resilience', 'resilienceHash', 'direction', 'hotzoneSize'] as const;

function checkReduction(options: EncryptOptions): void {
  const name = UNSHIFTED.find((each) => options[each] !== undefined);
  if (options.reduceDeviceSize === undefined || name === undefined) return;
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new LuksError('BAD_ARGUMENT', `--reduce-device-size and --${option} exclude each other; give one`);
}

/** What is lost by an encryption. */
function encryptionQuestion(payload: string, { header, reduceDeviceSize }: EncryptOptions): string {
  if (findContent(payload) === 'a LUKS header') {
    // No question, and so none that --batch-mode answers.
    throw new LuksError(
      'BAD_ARGUMENT',
      `${payload} holds a LUKS header: it is encrypted already, or is the header of another; to change its key: ` +
        `luksfuse reencrypt ${payload}`,
    );
  }
  const question = `All of ${payload} will be encrypted in place`;
  if (reduceDeviceSize !== undefined) {
    return (
      `${question}, but for its last ${formatBytes(reduceDeviceSize)}, which are lost.\n` +
      'A filesystem on it must have been shrunk by as much before'
    );
  }
  const lost = findContent(header!);
  return lost === null
    ? question
    : `${question}.\n${header} holds ${lost}, which the new header will overwrite`;
}

async function encrypt(payload: string, options: EncryptOptions): Promise<void> {
  checkReencryptOptions(options, [...CIPHER_NAMES, 'hash', 'uuid', 'label']);
  checkReduction(options);
  const { header, reduceDeviceSize } = options;
  if (options.resumeOnly) {
    if (reduceDeviceSize !== undefined) await restoreSpareHeader(payload, reduceDeviceSize);
    return resume(payload, 'encrypt', options);
  }
  if (header === undefined && reduceDeviceSize === undefined) {
    throw new LuksError(
      'BAD_ARGUMENT',
      'no place is given for the header; name a file for it with --header, or make room with --reduce-device-size',
    );
  }
  confirm(encryptionQuestion(payload, options), options);
  const passphrase = await readFirstPassphrase(header ?? payload, options);
  try {
    const use = (devices: Devices) =>
      withReencryptionLock(readHeader(devices.device).uuid, () => runBegun(devices, { passphrase }, options));
    const how = { ...newHeaderOptions(options), use };
    await (header === undefined
      ? beginShiftedEncryption(payload, reduceDeviceSize!, passphrase, how)
      : beginEncryption({ header, payload }, passphrase, { ...how, ...beginOptions(options) }));
  } finally {
    wipe(passphrase);
  }
}

async function decrypt(payload: string, options: ReencryptCommandOptions): Promise<void> {
  checkReencryptOptions(options, []);
  const { header } = options;
  if (header === undefined) {
    throw new LuksError(
      'BAD_ARGUMENT',
      'no header is named; give the detached one with --header, or, for a payload that begins with its header, a new ' +
        'file that it can go to',
    );
  }
  if (options.resumeOnly) return resume(payload, 'decrypt', options);
  if (header !== '-' && !fs.existsSync(header)) return decryptAttached(payload, header, options);
  requireDetached(payload, header);
  const question = `All of ${payload} will be plaintext, and the keys in ${header} destroyed`;
  const how = beginOptions(options);
  return withDevices(payload, header, async (devices) => {
    if (findGiveback(readHeader(devices.device))) return continueGiveback(devices, options);
    return beginAndFinish(devices, question, options, (unlock) =>
      beginDecryption(devices.device, devices.payload, unlock, how),
    );
  });
}

async function reencrypt(payload: string, options: ReencryptOptions): Promise<void> {
  checkReencryptOptions(options, [...CIPHER_NAMES, 'keepKey']);
  checkOnlineOptions(options);
  if (options.resumeOnly && !options.online) return resume(payload, null, options);
  if (options.keepKey && options.keySize !== undefined) {
    throw new LuksError('BAD_ARGUMENT', '--keep-key and --key-size exclude each other; give one');
  }
  const how = {
    ...cipherOptions(options),
    ...beginOptions(options),
    keepsKey: options.keepKey ?? false,
    pbkdf: pbkdfChoice(options),
  };
  if (options.online) return reencryptOnline(payload, how, options);
  return withDevices(payload, options.header, (devices) =>
    beginAndFinish(devices, `All of ${payload} will be rewritten in place`, options, (unlock) =>
      beginReencryption(devices.device, devices.payload, unlock, how),
    ),
  );
}

function addCipherOptions(command: Command, defaults: string): Command {
  return addPbkdfOptions(command)
    .option('-c, --cipher <spec>', `${defaults} by default`)
    .option('-s, --key-size <bits>', 'of the volume key', wholeNumber)
    .option('--sector-size <bytes>', '512 to 4096', wholeNumber);
}

export function addReencryptCommands(program: Command): void {
  const encryptCommand = program
    .command('encrypt <payload>')
    .description('turn plain data into ciphertext, in place, all of it; resumable')
    .option('--header <file>', 'make the detached header in this file, or go on with it')
    .option('--reduce-device-size <size>', 'give up so much at the end, to make room for a header', byteSize);
  addReencryptOptions(addCipherOptions(encryptCommand, 'aes-xts-plain64'))
    .option('--hash <name>', 'sha256 by default')
    .option('--uuid <uuid>', 'instead of a random one')
    .option('--label <text>', 'a name')
    .action(encrypt);

  const decryptCommand = program
    .command('decrypt <payload>')
    .description('turn ciphertext into plain data, in place; resumable')
    .option('--header <file>', 'the detached header; or the new file for one at the start of the payload');
  addReencryptOptions(decryptCommand).action(decrypt);

  const reencryptCommand = program
    .command('reencrypt <payload>')
    .description('a new volume key, cipher or sector size, in place; resumable')
    .option('--header <file>', 'the detached header; without it, at the start of the payload');
  addReencryptOptions(addCipherOptions(reencryptCommand, 'the one there is'))
    .option('--keep-key', 'no new volume key')
    .option('--online', 'the payload is a mountpoint: its daemon does it while the file is in use')
    .option('--pause', 'stop what goes on --online; --resume-only lets it go on')
    .option('--max-speed <size>', 'rewrite at most so much a second --online, such as 50M', byteSize)
    .action(reencrypt);
}
