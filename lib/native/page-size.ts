/**
 * The size of a page of memory: 4 KiB on most machines, 16 or 64 KiB on some of arm64 and ppc64.
 */
import fs from 'node:fs';
import { findFunction } from './library.js';

/** No kernel has larger ones; what is counted in these is right, if coarse, with smaller ones too. */
const LARGEST_PAGE_BYTES = 65_536;

/**
 * Where C cannot be called, from the size of this process, which the kernel tells in pages and in KiB. In between it may
 * change, but not by half. Everyone may read both files; that is not so with /proc/self/auxv in an undumpable process.
 */
export function derivePageBytes(): number {
  try {
    const pages = Number(fs.readFileSync('/proc/self/statm', 'ascii').split(' ')[0]);
    const [, kib] = /^VmSize:\s+(\d+) kB$/m.exec(fs.readFileSync('/proc/self/status', 'ascii'))!;
    return 2 ** Math.round(Math.log2((Number(kib) * 1024) / pages));
  } catch {
    return LARGEST_PAGE_BYTES;
  }
}

export const PAGE_BYTES = findFunction<() => number>('int getpagesize()')?.() ?? derivePageBytes();
