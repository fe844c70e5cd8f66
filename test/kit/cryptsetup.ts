/**
 * Volumes made by cryptsetup, header and payload both, without device-mapper: `reencrypt --encrypt` turns a
 * plain file into a LUKS2 payload in place, and `reencrypt --decrypt --force-offline-reencrypt` turns it
 * back. Its offline reencryption knows no LUKS1 and no offset, so every payload is filled under a LUKS2
 * "fill" header and then gets the header under test from luksFormat with the same volume key.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { mustRun } from './run.js';
import { makeTempDir } from './temp.js';

const MiB = 1024 * 1024;

export interface PairOptions {
  type: 'luks1' | 'luks2';
  pbkdf?: 'pbkdf2' | 'argon2i' | 'argon2id';
  /** As cryptsetup's --cipher. */
  cipher?: string;
  keySizeBits?: number;
  sectorSizeBytes?: number;
  /** Where the ciphertext starts in the payload file. */
  offsetBytes?: number;
  /** The header lies at the start of the payload. */
  isAttached?: boolean;
  sizeBytes?: number;
}

export interface Pair {
  /** A directory of this pair alone. */
  dir: string;
  /** Null where it is attached. */
  header: string | null;
  /** The file with the header in it. */
  headerFile: string;
  payload: string;
  keyFile: string;
  passphrase: Buffer;
  volumeKeyFile: string;
  /** What cryptsetup encrypted. */
  plaintext: Buffer;
  /** Where the ciphertext starts in the payload file. */
  offsetBytes: number;
  /** The LUKS2 header under which cryptsetup filled the payload. */
  fillHeader: string;
}

/** aes in every mode and IV that dm-crypt users have. */
export const AES_CIPHERS = [
  { cipher: 'aes-xts-plain64', keySizeBits: 512 },
  { cipher: 'aes-xts-plain64', keySizeBits: 256 },
  { cipher: 'aes-cbc-essiv:sha256', keySizeBits: 256 },
  { cipher: 'aes-cbc-plain64', keySizeBits: 128 },
  { cipher: 'aes-cbc-plain', keySizeBits: 256 },
];

/** The cheapest parameters cryptsetup accepts: tests unlock hundreds of times. */
function pbkdfArgs(pbkdf: 'pbkdf2' | 'argon2i' | 'argon2id'): string[] {
  if (pbkdf === 'pbkdf2') return ['--pbkdf', pbkdf, '--pbkdf-force-iterations', '1000'];
  const cost = ['--pbkdf-force-iterations', '4', '--pbkdf-memory', '32768', '--pbkdf-parallel', '2'];
  return ['--pbkdf', pbkdf, ...cost];
}

export function cryptsetup(...args: string[]): ReturnType<typeof mustRun> {
  return mustRun('cryptsetup', ['--batch-mode', ...args]);
}

/** Encrypts `payload` in place, all of it, and returns the files of its header and volume key. */
async function fillPayload(dir: string, payload: string, keyFile: string, options: PairOptions) {
  const { cipher = 'aes-xts-plain64', keySizeBits = 512, sectorSizeBytes = 512 } = options;
  const fillHeader = path.join(dir, 'fill-header');
  const volumeKeyFile = path.join(dir, 'volume-key');
  const cipherArgs = [
    '--cipher',
    cipher,
    '--key-size',
    `${keySizeBits}`,
    '--sector-size',
    `${sectorSizeBytes}`,
  ];
  const keyArgs = [...pbkdfArgs('pbkdf2'), '--key-file', keyFile];
  const headerArgs = ['--type', 'luks2', '--header', fillHeader];
  await cryptsetup('reencrypt', '--encrypt', ...headerArgs, ...cipherArgs, ...keyArgs, payload);
  const dumpArgs = ['--dump-volume-key', '--volume-key-file', volumeKeyFile, '--key-file', keyFile];
  await cryptsetup('luksDump', ...dumpArgs, fillHeader);
  return { fillHeader, volumeKeyFile };
}

/** luksFormat's arguments for the header under test; those of LUKS2 alone are left out for LUKS1. */
function formatArgs(options: PairOptions, keyFile: string, volumeKeyFile: string): string[] {
  const { type, cipher = 'aes-xts-plain64', keySizeBits = 512, sectorSizeBytes = 512 } = options;
  const sectorArgs = type === 'luks2' ? ['--sector-size', `${sectorSizeBytes}`] : [];
  const offsetArgs = options.offsetBytes ? ['--offset', `${options.offsetBytes / 512}`] : [];
  const cipherArgs = ['--cipher', cipher, '--key-size', `${keySizeBits}`, ...sectorArgs];
  const keyArgs = ['--key-file', keyFile, '--volume-key-file', volumeKeyFile];
  const kdfArgs = pbkdfArgs(options.pbkdf ?? 'pbkdf2');
  return ['luksFormat', '--type', type, ...cipherArgs, ...keyArgs, ...offsetArgs, ...kdfArgs];
}

/** Where the data of the header in `file` starts, told by cryptsetup or, for LUKS1, by the spec's field. */
async function dataOffsetBytes(type: 'luks1' | 'luks2', file: string): Promise<number> {
  if (type === 'luks1') return fs.readFileSync(file).readUInt32BE(104) * 512; // "payload-offset"
  const { stdout } = await cryptsetup('luksDump', '--dump-json-metadata', file);
  return Number(JSON.parse(stdout.toString()).segments['0'].offset);
}

/** A volume whose plaintext is known, made by cryptsetup. Removed at the teardown of `t`. */
export async function makePair(t: Test, options: PairOptions): Promise<Pair> {
  const dir = makeTempDir(t);
  const keyFile = path.join(dir, 'key');
  const payload = path.join(dir, 'payload');
  const passphrase = randomBytes(24);
  const plaintext = randomBytes(options.sizeBytes ?? 8 * MiB);
  fs.writeFileSync(keyFile, passphrase);
  fs.writeFileSync(payload, plaintext);
  const fill = await fillPayload(dir, payload, keyFile, options);

  const header = options.isAttached ? null : path.join(dir, 'header');
  const args = formatArgs(options, keyFile, fill.volumeKeyFile);
  let offsetBytes = options.offsetBytes ?? 0;
  const ciphertext = fs.readFileSync(payload);
  if (header) {
    // With an offset, what lies before it belongs to somebody else and must stay as it is.
    if (offsetBytes) fs.writeFileSync(payload, Buffer.concat([randomBytes(offsetBytes), ciphertext]));
    await cryptsetup(...args, '--header', header, payload);
  } else {
    fs.truncateSync(payload, 64 * MiB);
    await cryptsetup(...args, payload);
    offsetBytes = await dataOffsetBytes(options.type, payload);
    fs.truncateSync(payload, offsetBytes + ciphertext.length);
    writeAt(payload, ciphertext, offsetBytes);
  }
  const headerFile = header ?? payload;
  return { dir, header, headerFile, payload, keyFile, passphrase, plaintext, offsetBytes, ...fill };
}

/** The plaintext of the pair's payload as it is now, decrypted by cryptsetup from a copy. */
export async function decryptPayload(pair: Pair): Promise<Buffer> {
  const copy = path.join(pair.dir, 'decrypt-payload');
  const header = path.join(pair.dir, 'decrypt-header');
  fs.writeFileSync(copy, fs.readFileSync(pair.payload).subarray(pair.offsetBytes));
  fs.copyFileSync(pair.fillHeader, header);
  const keyArgs = ['--header', header, '--key-file', pair.keyFile];
  await cryptsetup('reencrypt', '--decrypt', '--force-offline-reencrypt', ...keyArgs, copy);
  const plaintext = fs.readFileSync(copy);
  fs.rmSync(copy);
  fs.rmSync(header, { force: true });
  return plaintext;
}

/** Overwrites part of a file, in place. */
export function writeAt(file: string, bytes: Uint8Array, offsetBytes: number): void {
  const fd = fs.openSync(file, 'r+');
  try {
    fs.writeSync(fd, bytes, 0, bytes.length, offsetBytes);
  } finally {
    fs.closeSync(fd);
  }
}
