/**
 * File names that are not UTF-8. In this program a name is a string in which each byte that is no part of a character
 * stands as a lone surrogate, U+DC80 to U+DCFF, as in Python (PEP 383): nothing else reads as one, JSON carries it, and
 * names are joined and compared as others are. Only where a name goes to the kernel, or comes from there, bytes are made of it.
 */
import fs from 'node:fs';
import { LuksError } from '../errors.js';

/** A well-formed character of UTF-8 (Unicode, table 3-7), or a byte that belongs to none, over latin1 text. */
const CHARACTER_OR_BYTE =
  /[\0-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|([\x80-\xff])/g;
const RAW_BYTE = /([\udc80-\udcff])/u;
/** What Node makes of such a byte, and of the character that is written so. */
const REPLACEMENT = '\ufffd';

export function decodeName(bytes: Buffer): string {
  const text = bytes.toString();
  if (!text.includes(REPLACEMENT)) return text;
  return bytes.toString('latin1').replace(CHARACTER_OR_BYTE, (character, byte?: string) => {
    if (byte !== undefined) return String.fromCharCode(0xdc00 + byte.charCodeAt(0));
    return Buffer.from(character, 'latin1').toString();
  });
}

export function isUtf8(name: string): boolean {
  return !RAW_BYTE.test(name);
}

/** For what is handed on as text. Throws BAD_ARGUMENT; `what` must be UTF-8. */
export function requireUtf8(text: string, what: string): void {
  if (isUtf8(text)) return;
  throw new LuksError('BAD_ARGUMENT', `"${text}" is not UTF-8, and ${what} must be; choose another name`);
}

export function encodeName(name: string): Buffer {
  const parts = name.split(RAW_BYTE);
  return Buffer.concat(
    parts.map((part, index) =>
      index % 2 === 1 ? Buffer.from([part.charCodeAt(0) & 0xff]) : Buffer.from(part),
    ),
  );
}

/** For a terminal, which would take some of these bytes for commands. */
export function showRawBytes(text: string): string {
  return text.replace(new RegExp(RAW_BYTE, 'gu'), (byte) => `\\x${(byte.charCodeAt(0) & 0xff).toString(16)}`);
}

/** `process.argv` as it was given: Node replaces what is not UTF-8. */
export function readArguments(argv: readonly string[]): string[] {
  if (!argv.some((word) => word.includes(REPLACEMENT))) return [...argv];
  const given = decodeName(fs.readFileSync('/proc/self/cmdline')).split('\0').slice(0, -1);
  // Options of Node's own come before the program, and are not in argv.
  return [...argv.slice(0, 2), ...given.slice(given.length - (argv.length - 2))];
}

type PathFunction = (path: fs.PathOrFileDescriptor, ...rest: unknown[]) => unknown;

/** Makes `name`, a function of `functions`, take such names as its first `count` arguments. */
function takeRawNames(functions: object, name: string, count = 1): void {
  const table = functions as Record<string, PathFunction>;
  const original = table[name]!;
  const bytesOf = (value: unknown) =>
    typeof value === 'string' && !isUtf8(value) ? encodeName(value) : value;
  table[name] = (...given: unknown[]) => {
    const args = [...given.slice(0, count).map(bytesOf), ...given.slice(count)];
    return original.apply(fs, args as Parameters<PathFunction>);
  };
}

/** Has this process's node:fs take such names, and give them. For programs, not for the library. */
export function useRawNames(): void {
  const functions = [
    'openSync',
    'statSync',
    'lstatSync',
    'existsSync',
    'rmSync',
    'readFileSync',
    'writeFileSync',
  ];
  for (const name of functions) takeRawNames(fs, name);
  takeRawNames(fs, 'renameSync', 2);
  takeRawNames(fs.promises, 'stat');
  takeRawNames(fs.promises, 'statfs');
  const { native } = fs.realpathSync;
  const realPath = (path: string) => decodeName(native(encodeName(path), 'buffer'));
  fs.realpathSync = Object.assign(realPath, { native }) as typeof fs.realpathSync;
  const { cwd } = process;
  process.cwd = () => {
    const directory = cwd();
    return directory.includes(REPLACEMENT)
      ? decodeName(fs.readlinkSync('/proc/self/cwd', 'buffer'))
      : directory;
  };
}
