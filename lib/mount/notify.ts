/**
 * Tells a service manager that the mount answers: sd_notify(3), by the program of that name, which speaks the
 * protocol's datagram socket that node cannot.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import createDebug from 'debug';

const debug = createDebug('luksfuse:mount');

/** It waits for the manager to take the word, which must not hold up the mount for ever. */
const NOTIFY_MS = 30_000;

/** Does nothing where no service manager waits ($NOTIFY_SOCKET). */
export async function notifyReady(status: string): Promise<void> {
  if (!process.env.NOTIFY_SOCKET) return;
  try {
    await promisify(execFile)('systemd-notify', ['--ready', `--pid=${process.pid}`, `--status=${status}`], {
      timeout: NOTIFY_MS,
      killSignal: 'SIGKILL',
    });
  } catch (error) {
    debug('systemd-notify: %s', (error as Error).message);
  }
}
