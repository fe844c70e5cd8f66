/**
 * Time to finish of an offline encryption, and of a reencryption to a new key, on a payload in memory: cryptsetup's and
 * ours in turns, with the default resilience of both.
 */
import { randomFillSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { FAST_PBKDF2 } from '../kit/headers.js';
import { PROGRAM } from '../kit/luksfuse.js';
import { mustRun } from '../kit/run.js';
import { median, type Row } from './report.js';

const MiB = 1024 * 1024;
const TIMEOUT_MS = 600_000;
const MIN_RATIO = 1.5;

interface Times {
  encrypt: number;
  reencrypt: number;
}

function fill(file: string, sizeBytes: number): void {
  const piece = randomFillSync(Buffer.alloc(MiB));
  const fd = fs.openSync(file, 'w');
  for (let at = 0; at < sizeBytes; at += MiB) fs.writeSync(fd, piece, 0, MiB, at);
  fs.closeSync(fd);
}

async function time(command: string, args: readonly string[]): Promise<number> {
  return (await mustRun(command, args, { timeoutMs: TIMEOUT_MS })).elapsedMs;
}

/** One payload encrypted and then reencrypted; header and payload are gone afterwards. */
async function timeBoth(dir: string, tool: 'cryptsetup' | 'luksfuse', sizeBytes: number): Promise<Times> {
  const file = (name: string) => path.join(dir, `reencrypt-${name}`);
  const [header, payload, keyFile] = [file('header'), file('payload'), file('key')];
  fs.writeFileSync(keyFile, 'bench');
  fill(payload, sizeBytes);
  const how = [
    '-q',
    '--header',
    header,
    '--key-file',
    keyFile,
    ...FAST_PBKDF2,
    '--sector-size',
    '512',
    payload,
  ];
  try {
    if (tool === 'luksfuse') {
      const encrypt = await time(PROGRAM, ['encrypt', ...how]);
      return { encrypt, reencrypt: await time(PROGRAM, ['reencrypt', ...how]) };
    }
    const encrypt = await time('cryptsetup', ['reencrypt', '--encrypt', '--type', 'luks2', ...how]);
    return {
      encrypt,
      reencrypt: await time('cryptsetup', ['reencrypt', '--force-offline-reencrypt', ...how]),
    };
  } finally {
    for (const each of [header, payload, keyFile]) fs.rmSync(each, { force: true });
  }
}

export async function reencryptRows(dir: string, rounds: number, sizeBytes: number): Promise<Row[]> {
  const [theirs, ours]: [Times[], Times[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    theirs.push(await timeBoth(dir, 'cryptsetup', sizeBytes));
    ours.push(await timeBoth(dir, 'luksfuse', sizeBytes));
  }
  return (['encrypt', 'reencrypt'] as const).map((mode) => {
    const [peer, own] = [theirs, ours].map((times) => median(times.map((each) => each[mode]))) as [
      number,
      number,
    ];
    return {
      what: `${mode} ${sizeBytes / MiB} MiB in place, offline`,
      peer: `${(peer / 1000).toFixed(1)} s (cryptsetup)`,
      ours: `${(own / 1000).toFixed(1)} s`,
      ratio: `${(peer / own).toFixed(2)}×`,
      target: `≥ ${MIN_RATIO}×`,
      isMet: peer / own >= MIN_RATIO,
    };
  });
}
