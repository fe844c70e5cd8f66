/**
 * Credentials that systemd hands to a service (systemd.exec(5), "CREDENTIALS"): files in a directory that only
 * the service can read.
 */
import fs from 'node:fs';
import path from 'node:path';
import { LuksError } from '../errors.js';
import { readKeyFile } from './key-file.js';

/** The name under which systemd's own programs look for the passphrase of a LUKS volume. */
export const PASSPHRASE_CREDENTIAL = 'cryptsetup.passphrase';

function findDirectory(): string | null {
  return process.env.CREDENTIALS_DIRECTORY || null;
}

/** True where this service was given a credential `name`. */
export function hasCredential(name: string): boolean {
  const directory = findDirectory();
  return directory !== null && fs.existsSync(path.join(directory, name));
}

/** All bytes of credential `name`, the caller's to wipe. Throws BAD_ARGUMENT. */
export function readCredentialFile(name: string, volumeName: string): Buffer {
  const directory = findDirectory();
  if (!directory) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `credential ${name}: $CREDENTIALS_DIRECTORY is not set; run luksfuse in a unit with LoadCredential= or the like`,
    );
  }
  if (name === '' || name === '.' || name === '..' || name.includes('/')) {
    throw new LuksError('BAD_ARGUMENT', `"${name}" is no name of a credential; give the name without a path`);
  }
  return readKeyFile(path.join(directory, name), volumeName);
}
