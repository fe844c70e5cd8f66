/**
 * Detached header files made by cryptsetup, for tests of headers that need no payload.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { Device } from '../../lib/device.js';
import { readHeader } from '../../lib/format/header.js';
import type { LuksHeader } from '../../lib/format/model.js';
import { cryptsetup } from './cryptsetup.js';
import { run } from './run.js';
import { makeTempDir } from './temp.js';

/** The cheapest key derivations that cryptsetup agrees to make. */
export const FAST_PBKDF2 = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
export const FAST_ARGON2ID = [
  ...['--pbkdf', 'argon2id', '--pbkdf-force-iterations', '4'],
  ...['--pbkdf-memory', '32', '--pbkdf-parallel', '1'],
];

export interface HeaderFiles {
  dir: string;
  header: string;
  payload: string;
  /** Opens keyslot 0. */
  keyFile: string;
  passphrase: Buffer;
}

/** A directory with a payload of 1 MiB of random bytes and a key file, and no header yet. */
export function makeFiles(t: Test, passphrase = randomBytes(16)): HeaderFiles {
  const dir = makeTempDir(t);
  const file = (name: string) => path.join(dir, name);
  fs.writeFileSync(file('payload'), randomBytes(1024 * 1024));
  fs.writeFileSync(file('key'), passphrase);
  return { dir, header: file('header'), payload: file('payload'), keyFile: file('key'), passphrase };
}

/** A header from luksFormat with further arguments of it; PBKDF2 where they name no KDF. */
export async function formatHeader(t: Test, type: string, ...args: string[]): Promise<HeaderFiles> {
  const files = makeFiles(t);
  const pbkdf = args.includes('--pbkdf') ? [] : FAST_PBKDF2;
  const fileArgs = ['--header', files.header, files.payload, files.keyFile];
  await cryptsetup('luksFormat', '--type', type, ...pbkdf, ...args, ...fileArgs);
  return files;
}

export async function withDevice<T>(
  file: string,
  use: (device: Device) => T | Promise<T>,
  options = { isReadOnly: true },
): Promise<T> {
  const device = Device.open(file, options);
  try {
    return await use(device);
  } finally {
    device.close();
  }
}

export function read(file: string): Promise<LuksHeader> {
  return withDevice(file, readHeader);
}

/** The keyslot that cryptsetup opens with this passphrase, null where it opens none. */
export async function cryptsetupOpens(header: string, passphrase: Uint8Array): Promise<number | null> {
  const args = ['open', '--test-passphrase', '--verbose', '--key-file', '-', header];
  const { code, stdout, stderr } = await run('cryptsetup', args, { input: passphrase });
  if (code === 2 || /No usable keyslot/.test(stderr)) return null;
  const opened = /Key slot (\d+) unlocked/.exec(`${stdout}`);
  if (code !== 0 || !opened) throw new Error(`cryptsetup open ${header}: ${code} ${stderr}`);
  return Number(opened[1]);
}

/** The volume key, told by cryptsetup. */
export async function dumpVolumeKey(files: HeaderFiles): Promise<Buffer> {
  const file = path.join(files.dir, 'dumped-key');
  const args = ['--dump-volume-key', '--volume-key-file', file, '--key-file', files.keyFile];
  await cryptsetup('luksDump', ...args, files.header);
  const key = fs.readFileSync(file);
  fs.rmSync(file);
  return key;
}
