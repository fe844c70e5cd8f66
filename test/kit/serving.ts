/**
 * Which processes keep a mount, and the end of the one that serves it.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { MountInfo } from '../../lib/mount/control.js';
import { mustLuksfuse } from './luksfuse.js';

export async function statusOf(mountpoint: string): Promise<MountInfo> {
  return JSON.parse((await mustLuksfuse(['status', '--json', mountpoint])).stdout.toString()) as MountInfo;
}

/** Where root's daemon of the mount listens. */
export function controlSocketOf(mountpoint: string): string {
  const { dev } = fs.statSync(mountpoint);
  return `/run/luksfuse/${(dev & 0xff) | ((dev >> 12) & 0xfff00)}.sock`;
}

/** Kills the server, or the next one where that has just been replaced. Returns its pid. */
async function killNow(mountpoint: string): Promise<number> {
  for (;;) {
    const { pid } = await statusOf(mountpoint);
    try {
      process.kill(pid, 'SIGKILL');
      return pid;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** Kills the server and returns when another one serves, with that one's pid. */
export async function killServer(mountpoint: string): Promise<number> {
  const pid = await killNow(mountpoint);
  for (let tries = 0; tries < 200; tries++) {
    const now = await statusOf(mountpoint);
    if (now.pid !== pid) return now.pid;
    await delay(20);
  }
  throw new Error(`nobody took over from ${pid}`);
}
