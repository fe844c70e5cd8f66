/**
 * The proof on one volume that cryptsetup made and filled: read through the mount and through `cat`, written
 * through the mount, and turned back by cryptsetup.
 */
import fs from 'node:fs';
import type { Test } from 'tap';
import { decryptPayload, makePair, type PairOptions } from './cryptsetup.js';
import { mountVolume, mustLuksfuse, unlockArgs } from './luksfuse.js';
import { editAtRandom } from './payload-edits.js';
import { seededRandom } from './random.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** `luks2, sectorSizeBytes 4096, …` */
export function titleOf(options: PairOptions): string {
  return Object.entries(options)
    .map(([name, value]) => (name === 'type' ? value : `${name} ${value}`))
    .join(', ');
}

export async function checkBothWays(t: Test, options: PairOptions): Promise<void> {
  const random = seededRandom((line) => t.comment(line));
  const pair = await makePair(t, { sizeBytes: 3 * MiB, ...options });
  const outside = () => fs.readFileSync(pair.payload).subarray(0, pair.offsetBytes);
  const before = outside();

  const cat = await mustLuksfuse(['cat', ...unlockArgs(pair), pair.payload]);
  t.ok(cat.stdout.equals(pair.plaintext), 'cat gives what cryptsetup encrypted');
  const window = ['--offset', `${64 * KiB}`, '--length', `${96 * KiB}`];
  const part = await mustLuksfuse(['cat', ...unlockArgs(pair), ...window, pair.payload]);
  t.ok(part.stdout.equals(pair.plaintext.subarray(64 * KiB, 160 * KiB)), 'cat gives a window of it');

  const mount = await mountVolume(t, pair);
  t.equal(fs.statSync(mount.file).size, pair.plaintext.length, 'the file has the size of the plaintext');
  t.ok(fs.readFileSync(mount.file).equals(pair.plaintext), 'the mount gives what cryptsetup encrypted');
  const model = Buffer.from(pair.plaintext);
  editAtRandom(mount.file, model, random, 60);
  t.ok(fs.readFileSync(mount.file).equals(model), 'the mount gives what was written');
  await mount.umount();

  t.ok((await decryptPayload(pair)).equals(model), 'cryptsetup decrypts what was written');
  t.ok(outside().equals(before), 'nothing before the payload offset has changed');
}
