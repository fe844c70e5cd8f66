/**
 * Loaded before the program, makes its spawn do what that of libuv 1.53 does with every libuv: clear O_NONBLOCK on each
 * descriptor that is handed to a child. The flag belongs to the open file, so that everyone who has it loses it.
 */
import childProcess, { type SpawnOptions } from 'node:child_process';
import { constants } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { F_GETFL, F_SETFL, fcntl } from '../kit/libc.js';

const { spawn } = childProcess;

function clear(fd: unknown): void {
  if (typeof fd === 'number') fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) & ~constants.O_NONBLOCK);
}

childProcess.spawn = ((command: string, args: string[], options: SpawnOptions) => {
  if (Array.isArray(options.stdio)) options.stdio.forEach(clear);
  return spawn(command, args, options);
}) as typeof spawn;
syncBuiltinESMExports();
