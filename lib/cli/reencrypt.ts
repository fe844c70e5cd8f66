/**
 * `luksfuse encrypt`, `decrypt` and `reencrypt`: a payload rewritten in place, resumable.
 */
import { basename } from 'node:path';
import type { Command } from 'commander';
import { wipe } from '../bytes.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import type { ReencryptionMode } from '../format/reencryption.js';
import { begunMode } from '../format/reencryption-shift.js';
import { readKeySource } from '../keysource/source.js';
import type { FormatOptions } from '../volume/create.js';
import { findContent } from '../volume/header-file.js';
import { beginDecryption, beginEncryption, beginReencryption } from '../volume/reencrypt-begin.js';
import { confirm, readNewPassphrase } from './ask.js';
import { withKey } from './credential.js';
import { findKeySource, wholeNumber } from './credential-options.js';
import { addPbkdfOptions, type PbkdfOptions, pbkdfChoice } from './pbkdf-options.js';
import {
  addReencryptOptions,
  beginOptions,
  checkReencryptOptions,
  type ReencryptCommandOptions,
} from './reencrypt-options.js';
import { type Devices, finishReencryption, printBegun, withDevices } from './reencrypt-run.js';
import { keySizeBytes } from './sizes.js';

interface CipherOptions extends ReencryptCommandOptions, PbkdfOptions {
  cipher?: string;
  keySize?: number;
  sectorSize?: number;
}

interface EncryptOptions extends CipherOptions {
  hash?: string;
  uuid?: string;
  label?: string;
}

interface ReencryptOptions extends CipherOptions {
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

/** Begins, and unless --init-only does the work with the same key. */
function beginAndFinish(
  payload: string,
  question: string,
  options: ReencryptCommandOptions,
  begin: (devices: Devices, unlock: Parameters<typeof finishReencryption>[1]) => Promise<void>,
): Promise<void> {
  return withDevices(payload, options.header, async (devices) => {
    confirm(question, options);
    const located = { device: devices.device, header: readHeader(devices.device) };
    await withKey(located, options, async (unlock) => {
      await begin(devices, unlock);
      if (options.initOnly) printBegun(devices.device, options);
      else await finishReencryption(devices, unlock, options);
    });
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

async function encrypt(payload: string, options: EncryptOptions): Promise<void> {
  checkReencryptOptions(options, [...CIPHER_NAMES, 'hash', 'uuid', 'label']);
  if (options.resumeOnly) return resume(payload, 'encrypt', options);
  const { header } = options;
  if (header === undefined) {
    throw new LuksError('BAD_ARGUMENT', 'no place is given for the header; name a file for it with --header');
  }
  const [lost, there] = [findContent(header), findContent(payload)];
  const losses = [
    `All of ${payload}${there === 'a LUKS header' ? ', which holds a LUKS header itself,' : ''} will be encrypted in place`,
    ...(lost === null ? [] : [`${header} holds ${lost}, which the new header will overwrite`]),
  ];
  confirm(losses.join('.\n'), options);
  const passphrase = await readFirstPassphrase(header, options);
  try {
    await beginEncryption({ header, payload }, passphrase, {
      ...newHeaderOptions(options),
      ...beginOptions(options),
    });
    await withDevices(payload, header, async (devices) => {
      if (options.initOnly) printBegun(devices.device, options);
      else await finishReencryption(devices, { passphrase }, options);
    });
  } finally {
    wipe(passphrase);
  }
}

async function decrypt(payload: string, options: ReencryptCommandOptions): Promise<void> {
  checkReencryptOptions(options, []);
  if (options.header === undefined) {
    throw new LuksError(
      'BAD_ARGUMENT',
      'only a payload whose header is detached is decrypted; name it with --header',
    );
  }
  if (options.resumeOnly) return resume(payload, 'decrypt', options);
  const question = `All of ${payload} will be plaintext, and the keys in ${options.header} destroyed`;
  const how = beginOptions(options);
  return beginAndFinish(payload, question, options, ({ device, payload: data }, unlock) =>
    beginDecryption(device, data, unlock, how),
  );
}

async function reencrypt(payload: string, options: ReencryptOptions): Promise<void> {
  checkReencryptOptions(options, [...CIPHER_NAMES, 'keepKey']);
  if (options.resumeOnly) return resume(payload, null, options);
  if (options.keepKey && options.keySize !== undefined) {
    throw new LuksError('BAD_ARGUMENT', '--keep-key and --key-size exclude each other; give one');
  }
  const how = {
    ...cipherOptions(options),
    ...beginOptions(options),
    keepsKey: options.keepKey ?? false,
    pbkdf: pbkdfChoice(options),
  };
  return beginAndFinish(payload, `All of ${payload} will be rewritten in place`, options, (devices, unlock) =>
    beginReencryption(devices.device, devices.payload, unlock, how),
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
    .option('--header <file>', 'make the detached header in this file, or go on with it');
  addReencryptOptions(addCipherOptions(encryptCommand, 'aes-xts-plain64'))
    .option('--hash <name>', 'sha256 by default')
    .option('--uuid <uuid>', 'instead of a random one')
    .option('--label <text>', 'a name')
    .action(encrypt);

  const decryptCommand = program
    .command('decrypt <payload>')
    .description('turn the payload of a detached header into plain data, in place; resumable')
    .option('--header <file>', 'the detached header');
  addReencryptOptions(decryptCommand).action(decrypt);

  const reencryptCommand = program
    .command('reencrypt <payload>')
    .description('a new volume key, cipher or sector size, in place; resumable')
    .option('--header <file>', 'the detached header; without it, at the start of the payload');
  addReencryptOptions(addCipherOptions(reencryptCommand, 'the one there is'))
    .option('--keep-key', 'no new volume key')
    .action(reencrypt);
}
