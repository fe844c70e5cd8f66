/**
 * The time to unlock one argon2id keyslot of 1 GiB: ours against cryptsetup's, each without the time its
 * process takes to start.
 */
import fs from 'node:fs';
import path from 'node:path';
import { cryptsetup } from '../kit/cryptsetup.js';
import { mustLuksfuse } from '../kit/luksfuse.js';
import { mustRun } from '../kit/run.js';

/** One round, in milliseconds. */
export interface UnlockTimes {
  cryptsetup: number;
  luksfuse: number;
  /** `node -e 0`: what Node takes before any program of ours runs. */
  nodeStart: number;
}

/** Times `rounds` unlocks of each, one after the other in turn. */
export async function timeUnlocks(dir: string, rounds: number): Promise<UnlockTimes[]> {
  const header = path.join(dir, 'argon2id-header');
  const keyFile = path.join(dir, 'argon2id-key');
  const payload = path.join(dir, 'argon2id-payload');
  fs.writeFileSync(keyFile, 'bench');
  fs.writeFileSync(payload, Buffer.alloc(1024 * 1024));
  const cost = ['--pbkdf-memory', `${1024 * 1024}`, '--pbkdf-force-iterations', '4', '--pbkdf-parallel', '4'];
  const formatArgs = [
    '--type',
    'luks2',
    '--pbkdf',
    'argon2id',
    ...cost,
    '--header',
    header,
    '--key-file',
    keyFile,
  ];
  await cryptsetup('luksFormat', ...formatArgs, payload);

  const times: UnlockTimes[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const theirs = await mustRun('cryptsetup', ['open', '--test-passphrase', '--key-file', keyFile, header]);
    const ours = await mustLuksfuse(['test-key', '--key-file', keyFile, header]);
    const start = await mustRun(process.execPath, ['-e', '0']);
    times.push({ cryptsetup: theirs.elapsedMs, luksfuse: ours.elapsedMs, nodeStart: start.elapsedMs });
  }
  return times;
}
