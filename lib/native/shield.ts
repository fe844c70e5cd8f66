/**
 * What keeps this process's memory from others: called first of all by each program that has keys.
 */
import fs from 'node:fs';
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
