/**
 * A program that is killed in the middle of its work.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { cleanEnv, TOOL_PATH } from './run.js';

/**
 * Runs a program that `arm` can kill (SIGKILL) whenever it likes; what it answers is called once the program is gone.
 * True where it ended by itself, and well; throws where it ended badly. A killed one may have done all its work too.
 */
export function runAndKill(
  command: string,
  args: readonly string[],
  arm: (kill: () => void) => () => void,
): Promise<boolean> {
  const env = { ...cleanEnv(), PATH: TOOL_PATH };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const said: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
    const disarm = arm(() => child.kill('SIGKILL'));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      disarm();
      if (code === 0 || signal === 'SIGKILL') resolve(code === 0);
      else reject(new Error(`${command} ${args.join(' ')}: ${code}: ${Buffer.concat(said)}`));
    });
  });
}

/** Kills up to `maxMs` after the first change of one of the files, for who only then begins to work. */
export function killAfterChange(files: readonly string[], maxMs: number): (kill: () => void) => () => void {
  const changed = () => files.map((file) => fs.statSync(file, { bigint: true }).mtimeNs).join();
  return (kill) => {
    const before = changed();
    let timer = setInterval(() => {
      if (changed() === before) return;
      clearInterval(timer);
      timer = setTimeout(kill, randomInt(maxMs));
    }, 1);
    return () => clearInterval(timer);
  };
}

/** Kills as soon as it is seen to be so. */
export function killWhen(isReached: () => Promise<boolean>): (kill: () => void) => () => void {
  return (kill) => {
    let isOver = false;
    const watch = async () => {
      while (!isOver && !(await isReached())) await delay(1);
      kill();
    };
    void watch();
    return () => {
      isOver = true;
    };
  };
}
