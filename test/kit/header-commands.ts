/**
 * For tests of the commands that make and change headers, through the program alone: volumes of every kind,
 * results as JSON, and refusals that must leave everything as it is.
 */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { cryptsetup } from './cryptsetup.js';
import { cryptsetupOpens, FAST_PBKDF2, type HeaderFiles, makeFiles } from './headers.js';
import { attachLoop } from './loop.js';
import { luksfuse, mustLuksfuse } from './luksfuse.js';
import type { RunOptions } from './run.js';

const MiB = 1024 * 1024;
/** Room for the largest attached header, and some data. */
const ATTACHED_BYTES = 18 * MiB;

export interface VolumeKind {
  type: 'luks1' | 'luks2';
  isAttached: boolean;
  isBlockDevice: boolean;
}

/** Every kind of volume that header commands work on. */
export const VOLUME_KINDS: readonly VolumeKind[] = [
  { type: 'luks1', isAttached: false, isBlockDevice: false },
  { type: 'luks2', isAttached: false, isBlockDevice: false },
  { type: 'luks1', isAttached: true, isBlockDevice: false },
  { type: 'luks2', isAttached: true, isBlockDevice: true },
  { type: 'luks1', isAttached: false, isBlockDevice: true },
];

export function nameOf({ type, isAttached, isBlockDevice }: VolumeKind): string {
  return `${type}, ${isAttached ? 'attached' : 'detached'}, ${isBlockDevice ? 'block device' : 'file'}`;
}

export function hashOf(file: string): string {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
}

/** Files for a volume of this kind, all blank but the payload of a detached one. */
export async function makePlace(t: Test, kind: VolumeKind): Promise<HeaderFiles> {
  const files = makeFiles(t, Buffer.from(randomBytes(12).toString('hex')));
  if (kind.isAttached) {
    fs.writeFileSync(files.payload, '');
    fs.truncateSync(files.payload, ATTACHED_BYTES);
    const payload = kind.isBlockDevice ? await attachLoop(t, files.payload) : files.payload;
    return { ...files, payload, header: payload };
  }
  if (!kind.isBlockDevice) return files;
  fs.writeFileSync(files.header, '');
  fs.truncateSync(files.header, ATTACHED_BYTES);
  return { ...files, header: await attachLoop(t, files.header) };
}

/** A volume of this kind that `maker` formatted, opened by the key file. */
export async function makeVolume(
  t: Test,
  kind: VolumeKind,
  maker: 'luksfuse' | 'cryptsetup',
): Promise<HeaderFiles> {
  const files = await makePlace(t, kind);
  const { header, payload, keyFile } = files;
  const sectorArgs = kind.type === 'luks2' ? ['--sector-size', '512'] : [];
  const args = ['--type', kind.type, ...FAST_PBKDF2, ...sectorArgs, '--key-file', keyFile];
  const place = kind.isAttached ? [payload] : ['--header', header, payload];
  if (maker === 'cryptsetup') await cryptsetup('luksFormat', ...args, ...place);
  else await mustLuksfuse(['format', '--no-pairing', ...args, ...place]);
  return files;
}

/** A key file beside the volume. */
export function keyFileOf(files: HeaderFiles, passphrase: string): string {
  const file = path.join(files.dir, `key-${createHash('sha1').update(passphrase).digest('hex')}`);
  fs.writeFileSync(file, passphrase);
  return file;
}

/** The keyslot that we open with this passphrase, null where we say that none opens. */
async function weOpen(header: string, passphrase: Uint8Array): Promise<number | null> {
  const { code, stdout, stderr } = await luksfuse(['test-key', '--json', header, '--key-file', '-'], {
    input: passphrase,
  });
  if (code === 2) return null;
  if (code !== 0) throw new Error(`test-key ${header}: ${code} ${stderr}`);
  return JSON.parse(stdout.toString()).keyslot;
}

/** Ours and cryptsetup agree that the passphrase opens this keyslot, or none. */
export async function bothOpen(
  t: Test,
  header: string,
  passphrase: string | Uint8Array,
  keyslot: number | null,
  what: string,
): Promise<void> {
  const bytes = Buffer.from(passphrase);
  t.equal(await weOpen(header, bytes), keyslot, `${what}: we open ${keyslot}`);
  t.equal(await cryptsetupOpens(header, bytes), keyslot, `${what}: cryptsetup opens ${keyslot}`);
}

/** The document that a command prints with --json; nothing else may be printed. */
export async function json(args: readonly string[], options: RunOptions = {}) {
  const { stdout, stderr } = await mustLuksfuse([...args, '--json'], options);
  if (stderr !== '') throw new Error(`luksfuse ${args.join(' ')} says on standard error: ${stderr}`);
  return JSON.parse(stdout.toString());
}

/** The command prints this line, or nothing. */
export async function says(
  t: Test,
  args: readonly string[],
  text: string,
  options: RunOptions = {},
): Promise<void> {
  const { stdout, stderr } = await mustLuksfuse(args, options);
  const what = args.slice(0, 2).join(' ');
  t.equal(stdout.toString(), text === '' ? '' : `${text}\n`, `${what}: standard output`);
  t.equal(stderr, '', `${what}: standard error`);
}

export interface Refusal {
  exit: number;
  code: string;
  message: RegExp;
}

/**
 * The command, with --json, fails as it should: one JSON document on standard error and nothing on standard output,
 * and every one of `files` is as it was (missing ones missing).
 */
export async function refuses(
  t: Test,
  args: readonly string[],
  refusal: Refusal,
  files: readonly string[],
  options: RunOptions = {},
): Promise<void> {
  const state = () => files.map((file) => (fs.existsSync(file) ? hashOf(file) : null));
  const before = state();
  const what = args.map((arg) => path.basename(arg)).join(' ');
  const { code, stdout, stderr } = await luksfuse([...args, '--json'], options);
  t.equal(code, refusal.exit, `${what}: exit code (${stderr})`);
  t.equal(stdout.toString(), '', `${what}: nothing on standard output`);
  const document = JSON.parse(stderr);
  t.strictSame(document, { error: { code: refusal.code, message: document.error.message } }, what);
  t.match(document.error.message, refusal.message, what);
  t.strictSame(state(), before, `${what}: nothing was changed`);
}
