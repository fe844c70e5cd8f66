/**
 * Signals to a background process of a mount unmount, as umount does: while the file is in use, the mount stays.
 */
import createDebug from 'debug';

const debug = createDebug('luksfuse:daemon');

export function unmountOnSignals(mounting: Promise<{ unmount(): Promise<unknown> }>): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, async () => {
      try {
        await (await mounting).unmount();
      } catch (error) {
        debug('%s: %s', signal, (error as Error).message);
      }
    });
  }
}
