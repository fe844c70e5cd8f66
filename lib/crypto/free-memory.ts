/**
 * How much memory can be had: of the machine, within what this process's cgroups may take (cgroups(7), both versions), and
 * within its own limits (getrlimit(2)). Asking for more gets a process killed, not an error.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const CGROUP_DIR = '/sys/fs/cgroup';

/** The files of one version: the limit, what is used of it, and what of that is page cache, which makes room. */
interface Files {
  limit: string;
  usage: string;
  cache: RegExp;
}

const V1: Files = {
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  cache: /^total_(?:in)?active_file (\d+)$/gm,
};
const V2: Files = { limit: 'memory.max', usage: 'memory.current', cache: /^(?:in)?active_file (\d+)$/gm };

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'ascii');
  } catch {
    return ''; // there is no such limit, or none that may be seen
  }
}

/** What one cgroup has left; without end where it has no limit. */
function leftIn(directory: string, { limit, usage, cache }: Files): number {
  const limitBytes = Number.parseInt(readText(path.join(directory, limit)), 10); // "max" where there is none
  const usedBytes = Number.parseInt(readText(path.join(directory, usage)), 10);
  if (Number.isNaN(limitBytes) || Number.isNaN(usedBytes)) return Number.POSITIVE_INFINITY;
  const stat = readText(path.join(directory, 'memory.stat'));
  const cachedBytes = [...stat.matchAll(cache)].reduce((total, [, bytes]) => total + Number(bytes), 0);
  return limitBytes - Math.max(0, usedBytes - cachedBytes);
}

/** The least that the cgroup at `place`, or one that it is in, has left. */
function leftAlong(root: string, place: string, files: Files): number {
  const own = leftIn(path.join(root, place), files);
  return place === '/' ? own : Math.min(own, leftAlong(root, path.dirname(place), files));
}

function leftInCgroups(): number {
  let left = Number.POSITIVE_INFINITY;
  // HIERARCHY:CONTROLLERS:PATH
  for (const [, controllers, place] of readText('/proc/self/cgroup').matchAll(/^\d+:([^:]*):(\/.*)$/gm)) {
    if (controllers === '') left = Math.min(left, leftAlong(CGROUP_DIR, place!, V2));
    if (controllers!.split(',').includes('memory')) {
      left = Math.min(left, leftAlong(path.join(CGROUP_DIR, 'memory'), place!, V1));
    }
  }
  return left;
}

/** Of the address space, where that is limited (ulimit -v). */
function leftOfAddressSpace(): number {
  const [, limit] = /^Max address space +(\S+)/m.exec(readText('/proc/self/limits')) ?? [];
  const [, usedKiB] = /^VmSize:\s+(\d+)/m.exec(readText('/proc/self/status')) ?? [];
  const limitBytes = Number.parseInt(limit ?? '', 10); // "unlimited"
  return Number.isNaN(limitBytes) ? Number.POSITIVE_INFINITY : limitBytes - Number(usedKiB) * 1024;
}

export function availableMemoryKiB(): number {
  const leftBytes = Math.min(os.freemem(), leftInCgroups(), leftOfAddressSpace());
  return Math.max(0, Math.floor(leftBytes / 1024));
}
