/**
 * `luksfuse token`: list, add, remove, export and import the tokens of a LUKS2 header.
 */
import fs from 'node:fs';
import type { Command } from 'commander';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { describeHeader } from '../format/describe.js';
import { readHeader } from '../format/header.js';
import { type JsonObject, parseJsonObject } from '../format/json.js';
import { addToken, keyringToken, removeToken } from '../format/settings.js';
import { wholeNumber } from './credential-options.js';
import { locateNamed } from './header.js';
import { addHeaderOption, type HeaderOption, withHeaderDevice } from './header-option.js';
import { addJsonOption, announceResult, type JsonOption, printResult } from './output.js';

const STDIN = 0;

interface TokenOptions extends HeaderOption, JsonOption {
  tokenId?: number;
}

function requireTokenId({ tokenId }: TokenOptions): number {
  if (tokenId !== undefined) return tokenId;
  throw new LuksError('BAD_ARGUMENT', 'which token is not said; give --token-id');
}

async function list(argument: string, options: TokenOptions): Promise<void> {
  const { device, header } = await locateNamed(argument, options);
  device.close();
  const tokens = describeHeader(header).tokens as { id: number; type: string; keyslots: string[] }[];
  const lines = tokens.map(
    ({ id, type, keyslots }) => `${id}  ${type}  keyslots: ${keyslots.join(', ') || 'none'}`,
  );
  printResult(options, { tokens }, lines.join('\n'));
}

interface AddOptions extends TokenOptions {
  keyDescription: string;
  keySlot?: number;
  unbound?: boolean;
}

/** As cryptsetup does: for all keyslots, unless one is named or none is wanted. */
function keyslotsFor(device: Device, { keySlot, unbound }: AddOptions): number[] {
  if (keySlot !== undefined && unbound) {
    throw new LuksError('BAD_ARGUMENT', '--key-slot and --unbound exclude each other; give one');
  }
  if (unbound) return [];
  return keySlot === undefined ? [...readHeader(device).keyslots.keys()] : [keySlot];
}

function add(argument: string, options: AddOptions): Promise<void> {
  return withHeaderDevice(argument, options, async (device) => {
    const token = keyringToken(options.keyDescription, keyslotsFor(device, options));
    const tokenId = await addToken(device, token, options.tokenId);
    announceResult(options, { tokenId }, `Token ${tokenId} added.`);
  });
}

function remove(argument: string, options: TokenOptions): Promise<void> {
  const tokenId = requireTokenId(options);
  return withHeaderDevice(argument, options, async (device) => {
    await removeToken(device, tokenId);
    announceResult(options, { tokenId }, `Token ${tokenId} removed.`);
  });
}

interface JsonFileOption {
  /** `-` is standard output or input. */
  jsonFile: string;
}

async function exportToken(argument: string, options: TokenOptions & JsonFileOption): Promise<void> {
  const tokenId = requireTokenId(options);
  const { device, header } = await locateNamed(argument, options);
  device.close();
  const token = header.tokens.get(tokenId);
  if (!token) throw new LuksError('BAD_ARGUMENT', `there is no token ${tokenId}; see: luksfuse token list`);
  if (options.jsonFile === '-') printResult({ json: true }, token.document, '');
  else writeNewFile(options.jsonFile, token.document);
}

function writeNewFile(file: string, document: JsonObject): void {
  try {
    fs.writeFileSync(file, `${JSON.stringify(document, null, 2)}\n`, { flag: 'wx', mode: 0o600 });
  } catch (cause) {
    throw new LuksError('BAD_ARGUMENT', `cannot write the token: ${(cause as Error).message}`, { cause });
  }
}

function readJsonFile(file: string): Buffer {
  try {
    return fs.readFileSync(file === '-' ? STDIN : file);
  } catch (cause) {
    throw new LuksError('BAD_ARGUMENT', `cannot read the token: ${(cause as Error).message}`, { cause });
  }
}

async function importToken(argument: string, options: TokenOptions & JsonFileOption): Promise<void> {
  const text = readJsonFile(options.jsonFile);
  await withHeaderDevice(argument, options, async (device) => {
    const tokenId = await addToken(device, parseToken(text), options.tokenId);
    announceResult(options, { tokenId }, `Token ${tokenId} added.`);
  });
}

function parseToken(text: Buffer): JsonObject {
  try {
    return parseJsonObject(text);
  } catch (cause) {
    throw new LuksError('BAD_ARGUMENT', `this is no token: ${(cause as Error).message}`, { cause });
  }
}

export function addTokenCommands(program: Command): void {
  const token = program.command('token').description('list, add, remove, export, import (LUKS2)');
  const subcommand = (name: string, description: string) =>
    addJsonOption(addHeaderOption(token.command(`${name} <header>`).description(description)));

  subcommand('list', 'show them').action(list);
  subcommand('add', 'add one that finds the passphrase in the kernel keyring')
    .requiredOption('--key-description <text>', 'description of the key in the keyring')
    .option('-S, --key-slot <n>', 'the keyslot that the passphrase opens; all without', wholeNumber)
    .option('--unbound', 'for no keyslot, so that it is not used yet')
    .option('--token-id <n>', 'number of the new token', wholeNumber)
    .action(add);
  subcommand('remove', 'remove one').option('--token-id <n>', 'which', wholeNumber).action(remove);
  subcommand('export', 'print one as JSON')
    .option('--json-file <file>', 'a new file for it; - is standard output', '-')
    .option('--token-id <n>', 'which', wholeNumber)
    .action(exportToken);
  subcommand('import', 'add one from JSON')
    .option('--json-file <file>', 'where the JSON is; - is standard input', '-')
    .option('--token-id <n>', 'number of the new token', wholeNumber)
    .action(importToken);
}
