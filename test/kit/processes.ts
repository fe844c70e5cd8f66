/**
 * Looks at other processes through /proc: who holds a file open, what a process shows of itself.
 */
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

function listPids(): number[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function readOr<T>(read: () => T, fallback: T): T {
  try {
    return read();
  } catch {
    return fallback; // the process ended while we looked
  }
}

/** Paths of the files that process `pid` has open. */
export function listOpenFiles(pid: number): string[] {
  const dir = `/proc/${pid}/fd`;
  return readOr(() => fs.readdirSync(dir), []).map((fd) => readOr(() => fs.readlinkSync(`${dir}/${fd}`), ''));
}

/** What each thread of process `pid`, and each of its children, waits for in the kernel. */
export function listWaits(pid: number): string[] {
  const threads = readOr(() => fs.readdirSync(`/proc/${pid}/task`), []);
  const waits = threads.map((thread) =>
    readOr(() => fs.readFileSync(`/proc/${pid}/task/${thread}/wchan`, 'utf8'), ''),
  );
  const children = listPids().filter((child) => parentOf(child) === pid);
  return [...waits, ...children.map((child) => `(child ${child}: ${listWaits(child).join(' ')})`)];
}

/** The processes that have `file` open. */
export function findHolders(file: string): number[] {
  const real = fs.realpathSync(file);
  return listPids().filter((pid) => pid !== process.pid && listOpenFiles(pid).includes(real));
}

/** The parent of process `pid`, 0 where that is gone. */
function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(readProcFile(pid, 'status').toString())?.[1] ?? 0);
}

/**
 * The one process that has `file` open and serves it; throws where there is none or more than one. Who only holds it for
 * another to serve, that other's parent, does not count.
 */
export function requireHolder(file: string): number {
  const all = findHolders(file);
  const supervisors = new Set(all.map(parentOf));
  const holders = all.filter((pid) => !supervisors.has(pid));
  if (holders.length !== 1) throw new Error(`${file} is open in ${holders.length} processes, not in one`);
  return holders[0]!;
}

/** Processes whose arguments or open files name a path that `isOurs` accepts. */
export function findProcesses(isOurs: (text: string) => boolean): { pid: number; args: string }[] {
  return listPids()
    .filter((pid) => pid !== process.pid)
    .map((pid) => ({ pid, args: readProcFile(pid, 'cmdline').toString().replaceAll('\0', ' ') }))
    .filter(({ pid, args }) => isOurs(args) || listOpenFiles(pid).some(isOurs));
}

/** /proc/PID/NAME, empty where the process is gone. */
export function readProcFile(
  pid: number,
  name: 'cmdline' | 'environ' | 'status' | 'smaps' | 'limits',
): Buffer {
  return readOr(() => fs.readFileSync(`/proc/${pid}/${name}`), Buffer.alloc(0));
}

/** A field of /proc/PID/status in KiB, such as VmHWM or VmLck. */
export function statusKiB(pid: number, field: string): number {
  const match = new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(readProcFile(pid, 'status').toString());
  return match ? Number(match[1]) : 0;
}

/** True while `pid` exists and is not a zombie waiting for its parent. */
export function isRunning(pid: number): boolean {
  return /^State:\s+[^ZX]/m.test(readProcFile(pid, 'status').toString());
}

/** Polls until `condition` holds; throws naming `what` after `timeoutMs`. */
export async function waitUntil(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await delay(20);
  }
}
