/**
 * What the background process runs: receive the volume, serve it, end when it is unmounted.
 */
import createDebug from 'debug';
import { makeProcessUndumpable } from '../native/memory.js';
import { answerFailure, answerReady, receiveOrder } from './daemon.js';
import { type Served, serveVolume } from './serve.js';

const debug = createDebug('luksfuse:daemon');

/** Signals unmount, as umount does: while the file is in use, the mount stays. */
function unmountOnSignals(serving: Promise<Served>): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, async () => {
      try {
        await (await serving).unmount();
      } catch (error) {
        debug('%s: %s', signal, (error as Error).message);
      }
    });
  }
}

makeProcessUndumpable();
try {
  const { volume, options } = receiveOrder();
  const serving = serveVolume(volume, options);
  unmountOnSignals(serving);
  const served = await serving;
  answerReady(served.info);
  await served.closed.catch((error: Error) => {
    debug('closed with an error: %s', error.message);
    process.exitCode = 4;
  });
} catch (error) {
  answerFailure(error);
  process.exitCode = 4;
}
