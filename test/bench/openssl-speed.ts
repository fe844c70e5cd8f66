/**
 * What `openssl speed` says of a cipher, of the same machine in the same minute.
 */
import { execFileSync } from 'node:child_process';

/** OpenSSL's speed with messages of one sector on one thread, in MiB/s. */
export function opensslMiBps(name: string, sectorSizeBytes: number, decrypt: boolean): number {
  const direction = decrypt ? ['-decrypt'] : [];
  const options = ['-mr', '-seconds', '1', '-bytes', `${sectorSizeBytes}`, ...direction, '-evp', name];
  const output = execFileSync('openssl', ['speed', ...options], { stdio: ['ignore', 'pipe', 'ignore'] });
  const match = /^\+F:.*:([\d.]+)$/m.exec(output.toString());
  return Number(match?.[1]) / 2 ** 20;
}
