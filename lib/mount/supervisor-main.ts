/**
 * What the background process of a supervised mount runs: receive the order, mount, see that somebody serves.
 */
import createDebug from 'debug';
import { attend } from './attend.js';
import { answerFailure, answerReady } from './daemon.js';
import { receiveOrder } from './order.js';
import type { ServeOptions } from './serve-options.js';
import { unmountOnSignals } from './signals.js';
import { Supervisor } from './supervisor.js';

const debug = createDebug('luksfuse:supervisor');

async function attendOrUnmount(
  supervisor: Supervisor,
  options: ServeOptions,
): Promise<{ closed: Promise<void> }> {
  try {
    return await attend(supervisor, options);
  } catch (error) {
    await supervisor.unmount({ lazy: true });
    throw error;
  }
}

try {
  const { order, keys } = await receiveOrder();
  const starting = Supervisor.start(order, keys);
  unmountOnSignals(starting.then((mount) => ({ unmount: () => mount.unmount(), closed: mount.ended })));
  const supervisor = await starting;
  const { closed } = await attendOrUnmount(supervisor, order.options);
  await answerReady(await supervisor.describe(), supervisor);
  await closed.catch((error: Error) => {
    debug('closed with an error: %s', error.message);
    process.exitCode = 4;
  });
} catch (error) {
  answerFailure(error);
  process.exitCode = 4;
}
