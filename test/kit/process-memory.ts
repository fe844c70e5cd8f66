/**
 * Looks for bytes in all the memory of another process, as root can.
 */
import fs from 'node:fs';
import { PAGE_BYTES } from '../../lib/native/page-size.js';
import { sleepSync } from '../../lib/sleep.js';
import { isRunning, readProcFile } from './processes.js';

export interface Found {
  /** What was looked for. */
  name: string;
  /** The region's name in the maps, or its kind. */
  region: string;
  /** Never swapped, and never in a core dump: proc(5), VmFlags `lo` and `dd`. */
  isLocked: boolean;
}

interface Region {
  start: number;
  end: number;
  name: string;
  isWritable: boolean;
  residentKiB: number;
  flags: string[];
}

/** True where the page at `address` of this process is locked: proc(5), VmFlags `lo`. */
export function isLockedHere(address: number): boolean {
  const region = listRegions(process.pid).find(({ start, end }) => start <= address && address < end);
  return region?.flags.includes('lo') ?? false;
}

/** /proc/PID/smaps: a head line for each region, then its fields. */
function listRegions(pid: number): Region[] {
  const regions: Region[] = [];
  for (const line of fs.readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+\s*(.*)$/.exec(line);
    if (head) {
      const [, start, end, modes, name] = head as unknown as [string, string, string, string, string];
      regions.push({
        start: Number.parseInt(start, 16),
        end: Number.parseInt(end, 16),
        name: name || 'anonymous',
        isWritable: modes.startsWith('rw'),
        residentKiB: 0,
        flags: [],
      });
      continue;
    }
    const [field, value = ''] = line.split(/:\s*/);
    const region = regions.at(-1);
    if (field === 'Rss' && region) region.residentKiB = Number.parseInt(value, 10);
    if (field === 'VmFlags' && region) region.flags = value.trim().split(' ');
  }
  return regions;
}

export type Needles = Readonly<Record<string, Buffer>>;

const PIECE_BYTES = 4 * 1024 * 1024;
/** Pieces overlap by this much, so that nothing is missed between two; no needle is longer. */
const OVERLAP_BYTES = 4096;

function* findAll(bytes: Buffer, needle: Buffer): Generator<number> {
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) yield at;
}

function countIn(readPiece: (at: number) => Buffer, start: number, end: number, needle: Buffer): number {
  let count = 0;
  for (let at = start; at < end; at += PIECE_BYTES - OVERLAP_BYTES) {
    for (const offset of findAll(readPiece(at), needle)) {
      if (offset < PIECE_BYTES - OVERLAP_BYTES) count += 1;
    }
  }
  return count;
}

/** Runs `look` while `pid` stands still: else it could give memory back that is just being looked at. */
function whileStopped<T>(pid: number, look: () => T): T {
  const isStopped = () => /^State:\s+[tT]/m.test(readProcFile(pid, 'status').toString());
  process.kill(pid, 'SIGSTOP');
  while (isRunning(pid) && !isStopped()) sleepSync(1);
  try {
    return look();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Every place where one of `needles` lies in memory that `pid` has written to. Throws where that may not be read. */
export function searchMemory(pid: number, needles: Needles): Found[] {
  return whileStopped(pid, () => searchStopped(pid, needles));
}

/** /proc/PID/pagemap: bit 58 of a page's eight bytes says that it guards a region, without a mapping of its own. */
function isGuard(pagemap: number, address: number): boolean {
  const entry = Buffer.alloc(8);
  fs.readSync(pagemap, entry, 0, 8, Math.floor(address / PAGE_BYTES) * 8);
  return (entry[7]! & 0x04) !== 0;
}

/** Fills `piece` from address `at` on. Guard pages, which glibc 2.42 has in the regions of its stacks, count as zeros. */
function readPages(mem: number, pagemap: number, piece: Buffer, at: number): Buffer {
  for (let done = 0; done < piece.length; ) {
    try {
      done += fs.readSync(mem, piece, done, piece.length - done, at + done);
    } catch (error) {
      if (!isGuard(pagemap, at + done)) throw error;
      const pageEnd = Math.min(done + PAGE_BYTES - ((at + done) % PAGE_BYTES), piece.length);
      piece.fill(0, done, pageEnd);
      done = pageEnd;
    }
  }
  return piece;
}

function searchStopped(pid: number, needles: Needles): Found[] {
  const mem = fs.openSync(`/proc/${pid}/mem`, 'r');
  const pagemap = fs.openSync(`/proc/${pid}/pagemap`, 'r');
  const piece = Buffer.alloc(PIECE_BYTES);
  try {
    return listRegions(pid)
      .filter(({ isWritable, residentKiB }) => isWritable && residentKiB > 0)
      .flatMap((region) => {
        const readPiece = (at: number) => {
          const length = Math.min(PIECE_BYTES, region.end - at);
          return readPages(mem, pagemap, piece.subarray(0, length), at);
        };
        const isLocked = ['lo', 'dd'].every((flag) => region.flags.includes(flag));
        return Object.entries(needles).flatMap(([name, needle]) => {
          const count = countIn(readPiece, region.start, region.end, needle);
          return Array.from({ length: count }, () => ({ name, region: region.name, isLocked }));
        });
      });
  } finally {
    fs.closeSync(mem);
    fs.closeSync(pagemap);
    piece.fill(0);
  }
}
