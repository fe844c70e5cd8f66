/**
 * LUKS1 images made, read and written by QEMU's own block driver.
 */
import fs from 'node:fs';
import { mustRun, run } from './run.js';

/** The image as QEMU's --image-opts names it; `luksfuse` takes the same key file. */
export function imageOpts(image: string): string {
  return `driver=luks,file.driver=file,file.filename=${image},key-secret=key`;
}

export function secretArgs(keyFile: string): string[] {
  return ['--object', `secret,id=key,file=${keyFile}`];
}

export interface ImageOptions {
  /** As qemu-img names them: cipher-alg, cipher-mode, ivgen-alg, ivgen-hash-alg, hash-alg. */
  luks?: Record<string, string>;
  sizeBytes: number;
}

/** An attached LUKS1 image with one keyslot. */
export async function createImage(image: string, keyFile: string, options: ImageOptions): Promise<void> {
  const settings = { 'key-secret': 'key', 'iter-time': '50', ...options.luks };
  const list = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const args = ['create', '-q', '-f', 'luks', ...secretArgs(keyFile), '-o', list.join(','), image];
  // QEMU measures its PBKDF2 by CPU time, and now and then the clock has not moved on: then once more.
  for (let tries = 10; ; tries -= 1) {
    const { code, stderr } = await run('qemu-img', [...args, `${options.sizeBytes}`]);
    if (code === 0) return;
    if (tries === 0 || !stderr.includes('accurate CPU usage')) throw new Error(`qemu-img create: ${stderr}`);
  }
}

/** Runs qemu-io commands over the plaintext; throws where one fails, a pattern mismatch included. */
export async function qemuIo(image: string, keyFile: string, commands: readonly string[]): Promise<void> {
  const args = [...secretArgs(keyFile), '--image-opts', imageOpts(image)];
  const result = await mustRun('qemu-io', [...args, ...commands.flatMap((command) => ['-c', command])]);
  const said = result.stdout.toString() + result.stderr;
  // qemu-io exits with 0 also where a read pattern did not match.
  if (/verification failed|error/i.test(said)) throw new Error(`qemu-io: ${said}`);
}

/** The whole plaintext, decrypted by QEMU. */
export async function readPlaintext(image: string, keyFile: string): Promise<Buffer> {
  const raw = `${image}.raw`;
  const source = ['--image-opts', imageOpts(image)];
  await mustRun('qemu-img', ['convert', ...secretArgs(keyFile), ...source, '-O', 'raw', raw]);
  const plaintext = fs.readFileSync(raw);
  fs.rmSync(raw);
  return plaintext;
}
