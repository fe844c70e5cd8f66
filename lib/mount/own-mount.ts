/**
 * Finds in the kernel's table the mount that this process has made. Paths do not tell: two may mount on one at once.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LuksError } from '../errors.js';
import type { NodeAttributes } from '../fuse/node-attributes.js';
import { listMounts, type MountEntry } from './mount-table.js';

/** How long one that was mounted over ours by mistake may take to go again. */
const SETTLING_MS = 10_000;
const LOOK_MS = 20;

export function mountedMeanwhile(mountpoint: string, options?: { cause: unknown }): LuksError {
  return new LuksError('BUSY', `another luksfuse has mounted on ${mountpoint} in the meantime`, options);
}

/** As the kernel gives it (stat(2), st_dev): the minor number, since FUSE's major is 0. */
function minorOf(dev: bigint): number {
  return Number((dev & 0xffn) | ((dev >> 12n) & 0xfff00n));
}

/**
 * The mount on `mountpoint` whose root has these attributes (its time of access, which only utimensat(2) changes). It must be
 * served already.
 * @param precisionNs of the times that the driver tells the kernel
 * @throws LuksError BUSY where it lies on another of ours, which was first and keeps the mountpoint, or under another
 */
export async function findOwnMount(
  mountpoint: string,
  root: NodeAttributes,
  precisionNs = 1n,
): Promise<MountEntry> {
  for (const end = Date.now() + SETTLING_MS; Date.now() < end; await delay(LOOK_MS)) {
    const { dev, atimeNs } = await fs.promises.stat(mountpoint, { bigint: true });
    const { seconds, nanoseconds } = root.atime;
    const ownNs = BigInt(seconds) * 1_000_000_000n + BigInt(Math.floor(nanoseconds));
    if (atimeNs / precisionNs !== ownNs / precisionNs) continue;
    const mounts = listMounts().filter((mount) => mount.mountpoint === mountpoint);
    const own = mounts.find(({ connection }) => connection === minorOf(dev));
    if (!own) continue;
    if (!mounts.some(({ id }) => id === own.parentId)) return own;
    throw mountedMeanwhile(mountpoint);
  }
  throw new LuksError('BUSY', `something else was mounted over ${mountpoint} in the meantime`);
}
