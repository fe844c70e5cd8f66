/**
 * Signals to a process of a mount unmount it. While the file is in use the mount stays, until nobody uses it any more: when
 * a machine goes down, its users get the same signal at the same moment.
 */
import { setTimeout as delay } from 'node:timers/promises';
import createDebug from 'debug';
import { LuksError } from '../errors.js';

const debug = createDebug('luksfuse:daemon');

/** How soon it is tried again. */
const RETRY_MS = 500;

interface Unmountable {
  unmount(how?: { lazy?: boolean }): Promise<unknown>;
  /** Settles when the mount is gone, whoever unmounted it: what is mounted there then is not ours. */
  readonly closed: Promise<unknown>;
}

const isBusy = (error: unknown) => error instanceof LuksError && error.code === 'BUSY';

/**
 * Also for a signal that comes while the mount is being made.
 * @param onBusy called once, when the file is in use; a second signal then detaches the mount. Without it a second
 *   signal changes nothing
 */
export function unmountOnSignals(mounting: Promise<Unmountable>, onBusy?: (error: Error) => void): void {
  let isBegun = false;
  mounting.catch(() => {}); // whoever mounts sees to that
  let wasRefused = false;
  const untilFree = async (mount: Unmountable, how: { lazy?: boolean }) => {
    let isGone = false;
    const noteGone = () => {
      isGone = true;
    };
    mount.closed.then(noteGone, noteGone);
    while (!isGone) {
      try {
        await mount.unmount(how);
        return;
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (!wasRefused) onBusy?.(error as Error);
        wasRefused = true;
      }
      await delay(RETRY_MS, undefined, { ref: false });
    }
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, async () => {
      const isLazy = wasRefused && onBusy !== undefined;
      if (isBegun && !isLazy) return;
      isBegun = true;
      try {
        await untilFree(await mounting, isLazy ? { lazy: true } : {});
      } catch (error) {
        debug('%s: %s', signal, (error as Error).message);
      }
    });
  }
}
