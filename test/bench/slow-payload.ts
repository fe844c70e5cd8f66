/**
 * A payload with latency: what a pool of blocking workers makes of it. Two of them: nbdkit's delay filter, made a file by
 * nbdfuse, which serves no more than ten requests at a time; and a store of our own, which takes any number.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { findMount } from '../kit/mounts.js';
import { waitUntil } from '../kit/processes.js';
import { mustRun } from '../kit/run.js';
import { startLuksfuse } from './contestants.js';
import { runWorkload, type Workload } from './fio.js';
import { startNullMount } from './null-mount.js';
import type { Row } from './report.js';

const DELAY_MS = 2;
const MIN_SHARE = 0.5;

const RANDOM_READ: Workload = {
  name: '4k random read, QD32',
  rw: 'randread',
  blockBytes: 4096,
  queueDepth: 32,
  unit: 'IOPS',
  targets: { peer: null, ceiling: null },
};

function row(what: string, peer: string, allowed: number, ours: number): Row {
  return {
    what: `${RANDOM_READ.name}, ${what}, ${DELAY_MS} ms a read`,
    peer,
    ours: ours.toFixed(0),
    ratio: `${(ours / allowed).toFixed(2)}×`,
    target: `≥ ${MIN_SHARE}×`,
    isMet: ours / allowed >= MIN_SHARE,
  };
}

/** Beside all that so many requests, each as long as the delay, can be at best. The first run lets the pool grow. */
export async function storeRow(dir: string, image: string, seconds: number): Promise<Row> {
  const allowed = (RANDOM_READ.queueDepth * 1000) / DELAY_MS;
  const mount = await startNullMount(dir, image, DELAY_MS);
  try {
    await runWorkload(mount.file, RANDOM_READ, seconds);
    const ours = await runWorkload(mount.file, RANDOM_READ, seconds);
    return row('a store that sleeps', `all that QD32 allows: ${allowed}`, allowed, ours);
  } finally {
    await mount.stop();
  }
}

/** Beside what fio gets from the slow file itself. The first run lets the pool grow. */
export async function nbdkitRow(dir: string, image: string, keyFile: string, seconds: number): Promise<Row> {
  const mountpoint = path.join(dir, 'slow');
  fs.mkdirSync(mountpoint);
  const file = path.join(mountpoint, 'nbd');
  const filter = ['--filter=delay', 'file', image, `rdelay=${DELAY_MS}ms`];
  const serve = `nbdfuse --readonly ${file} --unix "$unixsocket"`;
  const args = ['-f', '-t', '64', '--readonly', '-U', '-', ...filter, '--run', serve];
  const child = spawn('nbdkit', args, { stdio: 'ignore' });
  await once(child, 'spawn');
  try {
    await waitUntil('nbdfuse serves', () => findMount(mountpoint) !== null && fs.existsSync(file));
    const allowed = await runWorkload(file, RANDOM_READ, seconds);
    const mount = await startLuksfuse(dir, file, keyFile, ['--read-only']);
    try {
      await runWorkload(mount.file, RANDOM_READ, seconds);
      const ours = await runWorkload(mount.file, RANDOM_READ, seconds);
      return row('nbdkit delay filter', `fio on the slow file: ${allowed.toFixed(0)}`, allowed, ours);
    } finally {
      await mount.stop();
    }
  } finally {
    const exit = once(child, 'exit');
    await mustRun('fusermount3', ['-u', mountpoint]);
    await exit;
  }
}
