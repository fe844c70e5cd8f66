/**
 * What a reader keeps of its rate while the volume is reencrypted under it: the same mount with the work paused and under
 * way, in turns.
 */
import fs from 'node:fs';
import path from 'node:path';
import { cryptsetup } from '../kit/cryptsetup.js';
import { FAST_PBKDF2 } from '../kit/headers.js';
import { mustLuksfuse } from '../kit/luksfuse.js';
import { statusOf } from '../kit/serving.js';
import { startLuksfuse } from './contestants.js';
import { runWorkload, WORKLOADS } from './fio.js';
import { median, type Row } from './report.js';

const MiB = 1024 * 1024;
const HEADER_BYTES = 16 * MiB;
const MIN_SHARE = 0.5;
const READ = WORKLOADS.find(({ name }) => name === '4k random read, QD32')!;
const FILL = WORKLOADS.find(({ rw }) => rw === 'write')!;

/** Begins where nothing is under way, else goes on. */
async function letRun(mountpoint: string, keyFile: string): Promise<void> {
  const isKnown = (await statusOf(mountpoint)).reencryption !== null;
  const how = isKnown ? ['--resume-only'] : ['-q', '--key-file', keyFile, ...FAST_PBKDF2];
  await mustLuksfuse(['reencrypt', '--online', ...how, mountpoint]);
}

async function stopOrSay(mountpoint: string): Promise<void> {
  const { reencryption } = await statusOf(mountpoint);
  if (reencryption?.state !== 'running')
    throw new Error('the work ended within a round; take a larger volume');
  await mustLuksfuse(['reencrypt', '--online', '--pause', mountpoint]);
}

export async function onlineRow(
  dir: string,
  rounds: number,
  seconds: number,
  sizeBytes: number,
): Promise<Row> {
  const [image, keyFile] = [path.join(dir, 'online'), path.join(dir, 'online-key')];
  fs.writeFileSync(keyFile, 'bench');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, sizeBytes + HEADER_BYTES);
  await cryptsetup('luksFormat', '--type', 'luks2', '--sector-size', '512', ...FAST_PBKDF2, image, keyFile);
  const mount = await startLuksfuse(dir, image, keyFile);
  const mountpoint = path.dirname(mount.file);
  const [alone, meanwhile]: [number[], number[]] = [[], []];
  try {
    await runWorkload(mount.file, FILL, seconds);
    for (let round = 0; round < rounds; round += 1) {
      alone.push(await runWorkload(mount.file, READ, seconds));
      await letRun(mountpoint, keyFile);
      meanwhile.push(await runWorkload(mount.file, READ, seconds));
      await stopOrSay(mountpoint);
    }
  } finally {
    await mount.stop();
    for (const file of [image, keyFile]) fs.rmSync(file);
  }
  const [peer, own] = [median(alone), median(meanwhile)];
  return {
    what: `${READ.name}, while the volume is reencrypted`,
    peer: `nothing else: ${Math.round(peer)} IOPS`,
    ours: `${Math.round(own)}`,
    ratio: `${(own / peer).toFixed(2)}×`,
    target: `≥ ${MIN_SHARE}×`,
    isMet: own / peer >= MIN_SHARE,
  };
}
