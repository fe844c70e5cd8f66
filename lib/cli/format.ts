/**
 * `luksfuse format`: a new header for a payload.
 */
import { basename } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { wipe } from '../bytes.js';
import { Device } from '../device.js';
import type { LuksHeader } from '../format/model.js';
import { readKeySource } from '../keysource/source.js';
import { type FormatOptions, formatVolume } from '../volume/create.js';
import { findContent } from '../volume/header-file.js';
import { wipePayload } from '../volume/noise.js';
import { type BatchOption, confirm, readNewPassphrase } from './ask.js';
import { fileSource, requireOneReader, wholeNumber } from './credential-options.js';
import { addKeyslotCipherOptions, type KeyslotCipherOptions, keyslotCipher } from './keyslot-cipher.js';
import { addJsonOption, announceResult, type JsonOption } from './output.js';
import { addPbkdfOptions, type PbkdfOptions, pbkdfChoice } from './pbkdf-options.js';
import { Progress } from './progress.js';
import { byteSize, keySizeBytes } from './sizes.js';

const OFFSET_UNIT_BYTES = 512;

interface FormatCommandOptions extends KeyslotCipherOptions, PbkdfOptions, BatchOption, JsonOption {
  header?: string;
  type: 'luks1' | 'luks2';
  cipher?: string;
  keySize?: number;
  hash?: string;
  sectorSize?: number;
  offset?: number;
  uuid?: string;
  label?: string;
  subsystem?: string;
  luks2MetadataSize?: number;
  luks2KeyslotsSize?: number;
  keySlot?: number;
  keyFile?: string;
  volumeKeyFile?: string;
  wipe?: boolean;
  pairing: boolean;
  allowNullCipher?: boolean;
}

function formatOptions(options: FormatCommandOptions): FormatOptions {
  const { cipher, keySize, hash, sectorSize, offset, uuid, label, subsystem, keySlot } = options;
  const area = keyslotCipher(options);
  return {
    version: options.type === 'luks1' ? 1 : 2,
    pbkdf: pbkdfChoice(options),
    overwrite: true, // the person was asked
    pairing: options.pairing,
    allowNullCipher: options.allowNullCipher ?? false,
    ...(cipher !== undefined && { encryption: cipher }),
    ...(keySize !== undefined && { keySizeBytes: keySizeBytes('--key-size', keySize) }),
    ...(hash !== undefined && { hash }),
    ...(sectorSize !== undefined && { sectorSizeBytes: sectorSize }),
    ...(offset !== undefined && { offsetBytes: offset * OFFSET_UNIT_BYTES }),
    ...(uuid !== undefined && { uuid }),
    ...(label !== undefined && { label }),
    ...(subsystem !== undefined && { subsystem }),
    ...(keySlot !== undefined && { keyslot: keySlot }),
    ...(area.encryption !== undefined && { keyslotEncryption: area.encryption }),
    ...(area.keySizeBytes !== undefined && { keyslotKeySizeBytes: area.keySizeBytes }),
    ...(options.luks2MetadataSize !== undefined && { metadataSizeBytes: options.luks2MetadataSize }),
    ...(options.luks2KeyslotsSize !== undefined && { keyslotsSizeBytes: options.luks2KeyslotsSize }),
  };
}

async function fillWithNoise(payloadPath: string, header: LuksHeader): Promise<void> {
  const payload = Device.open(payloadPath, { isReadOnly: false });
  try {
    const { offsetBytes } = header.segments[0]!;
    const progress = new Progress('wipe', payload.sizeBytes - offsetBytes);
    await wipePayload(payload, offsetBytes, (doneBytes) => progress.update(doneBytes));
    progress.finish();
  } finally {
    payload.close();
  }
}

/** Asks about everything that would be lost; at a terminal that is one question. */
function confirmLosses(header: string, payload: string, options: FormatCommandOptions): void {
  const content = findContent(header);
  const losses = [
    ...(content === 'a LUKS header'
      ? [`${header} holds a LUKS header; the data behind it is lost for ever without it`]
      : []),
    ...(content !== null && content !== 'a LUKS header'
      ? [`${header} holds ${content}, which the header will overwrite`]
      : []),
    ...(options.wipe ? [`${payload} will be filled with noise; all its data is lost`] : []),
  ];
  if (losses.length > 0) confirm(losses.join('.\n'), options);
}

async function format(
  payload: string,
  newKeyFile: string | undefined,
  options: FormatCommandOptions,
): Promise<void> {
  const header = options.header ?? payload;
  const keyFile = options.keyFile ?? newKeyFile;
  let passphrase: Buffer | null = null;
  let volumeKey: Buffer | null = null;
  try {
    if (keyFile !== undefined) requireOneReader(options.volumeKeyFile, keyFile);
    confirmLosses(header, payload, options);
    volumeKey = options.volumeKeyFile
      ? await readKeySource(fileSource(options.volumeKeyFile), basename(header))
      : null;
    passphrase = await readNewPassphrase(header, keyFile);
    const paths = { payload, ...(options.header !== undefined && { header }) };
    const made = await formatVolume(paths, passphrase, {
      ...formatOptions(options),
      ...(volumeKey && { volumeKey }),
    });
    if (options.wipe) await fillWithNoise(payload, made);
    announceResult(options, { uuid: made.uuid, header, payload }, '');
  } finally {
    wipe(passphrase, volumeKey);
  }
}

export function addFormatCommand(program: Command): void {
  const command = program
    .command('format <payload> [new-key-file]')
    .alias('luksFormat')
    .description('make a header; the payload stays as it is, but for --wipe')
    .option('--header <file>', 'make a detached header in this file; without it, at the start of the payload')
    .addOption(
      new Option('--type <type>', 'format of the header').choices(['luks1', 'luks2']).default('luks2'),
    )
    .option('-c, --cipher <spec>', 'aes-xts-plain64 by default')
    .option('-s, --key-size <bits>', '256 by default, 512 for XTS, which has two keys', wholeNumber)
    .option('--hash <name>', 'sha256 by default')
    .option('--sector-size <bytes>', '512 to 4096', wholeNumber)
    .option('--offset <sectors>', 'where the data begins on the payload, in 512-byte sectors', wholeNumber)
    .option('--uuid <uuid>', 'instead of a random one')
    .option('--label <text>', 'a name (LUKS2)')
    .option('--subsystem <text>', 'a second name (LUKS2)')
    .option('--luks2-metadata-size <size>', 'of each metadata copy, such as 64K', byteSize)
    .option('--luks2-keyslots-size <size>', 'of the keyslots area, such as 8M', byteSize)
    .option('-S, --key-slot <n>', 'number of the first keyslot', wholeNumber)
    .option('-d, --key-file <file>', 'all bytes of this file are the new passphrase; - is standard input')
    .option('--volume-key-file <file>', 'use this volume key instead of a random one');
  addJsonOption(addPbkdfOptions(addKeyslotCipherOptions(command)))
    .option('--no-pairing', 'do not record in the header what payload it belongs to')
    .option('--allow-null-cipher', 'accept a cipher that is none')
    .option('--wipe', 'fill the payload with noise, so that nothing tells it from unused ciphertext')
    .option('-q, --batch-mode', 'do not ask')
    .action(format);
}
