/**
 * What keeps this process's memory from others: called first of all by each program that has keys.
 */
import fs from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LuksError } from '../errors.js';
import { makeProcessUndumpable } from './memory.js';

/** include/uapi/asm-generic/fcntl.h */
const O_CLOEXEC = 0o2000000;

/**
 * No core dump and no look by the user's other processes (PR_SET_DUMPABLE), and no debugger: Node would open a port for
 * one at SIGUSR1, for every user of the machine. A listener takes the signal's place; nothing comes of it.
 */
export function shieldProcess(): void {
  process.on('SIGUSR1', () => {});
  makeProcessUndumpable();
}

/** Options of node's by which its caller opens a port, or has code of his own run, which may open one. */
const ASKING = /--(inspect|import|require|loader|experimental-loader)|-r /;

/**
 * For the moment before a key is taken: closes a debugger's port that was opened before this process was shielded. Throws BUSY
 * if none of node's options asked for one: it was a signal then, and whoever connected may have changed the program.
 */
export async function requireNoDebugger(): Promise<void> {
  if (!process.features.inspector) return;
  const { default: inspector } = await import('node:inspector');
  let wasOpen = false;
  // Node asks for the port three times after one signal, the last time from its event loop.
  for (let turn = 0; turn < 3; turn++) {
    await nextTurn();
    if (inspector.url() === undefined) continue;
    wasOpen = true;
    inspector.close();
  }
  const options = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ');
  if (!wasOpen || ASKING.test(options)) return;
  throw new LuksError(
    'BUSY',
    'a signal (SIGUSR1) opened a port for debuggers as this began, and somebody may have used it; start again',
  );
}

/**
 * Closes what whoever started this process had open and did not mean to hand down, a pipe's end say, whose reader would wait
 * for it as long as this process lives. Node opens nothing itself that a program it starts would inherit (proc(5), fdinfo).
 * @param lastFd what is up to here was handed down
 */
export function closeInherited(lastFd: number): void {
  for (const fd of fs.readdirSync('/proc/self/fd').map(Number)) {
    if (fd <= lastFd) continue;
    try {
      const [, flags] = /^flags:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'ascii'))!;
      if ((Number.parseInt(flags!, 8) & O_CLOEXEC) === 0) fs.closeSync(fd);
    } catch {
      // That one was of the listing itself.
    }
  }
}
