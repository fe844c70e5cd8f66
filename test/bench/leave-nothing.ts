/**
 * Ends whatever a bench has in its directory, in the state that a failure or a signal left it in: the programs that measure,
 * then the mounts, the newest first, then whoever served them.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { clearMount } from '../kit/luksfuse.js';
import { listMounts } from '../kit/mounts.js';
import { findProcesses, isRunning } from '../kit/processes.js';

/** They go when their mount does, or after it. */
const SERVERS = /^\S*(qemu-storage-daemon|nbdkit|nbdfuse) /;
const ENDING_MS = 5000;

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

/** SIGTERM, and SIGKILL for those that it does not end. */
async function end(pids: readonly number[]): Promise<void> {
  for (const pid of pids) kill(pid, 'SIGTERM');
  const start = Date.now();
  while (pids.some(isRunning) && Date.now() - start < ENDING_MS) await delay(50);
  for (const pid of pids) kill(pid, 'SIGKILL');
}

export async function leaveNothing(dir: string): Promise<void> {
  const isOurs = (text: string) => text.includes(`${dir}/`);
  const measuring = findProcesses(isOurs).filter(({ args }) => isOurs(args) && !SERVERS.test(args));
  await end(measuring.map(({ pid }) => pid));
  const mounts = listMounts().filter(({ mountpoint }) => isOurs(mountpoint));
  for (const { mountpoint } of mounts.reverse()) await clearMount(mountpoint);
  await end(findProcesses(isOurs).map(({ pid }) => pid));
  fs.rmSync(dir, { recursive: true, force: true });
}
