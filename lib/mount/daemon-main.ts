/**
 * What the background process of a mount runs that nobody supervises: receive the volume, serve it, end when it is
 * unmounted.
 */
import createDebug from 'debug';
import { Device } from '../device.js';
import { Volume } from '../volume/volume.js';
import { answerFailure, answerReady } from './daemon.js';
import { receiveOrder } from './order.js';
import { serveVolume } from './serve.js';
import { unmountOnSignals } from './signals.js';

const debug = createDebug('luksfuse:daemon');

try {
  const { order, keys } = await receiveOrder();
  const volume = Volume.create(Device.adopt(order.device), order.layout, keys);
  const serving = serveVolume(volume, order.options);
  unmountOnSignals(serving);
  const served = await serving;
  await answerReady(served.info, served);
  await served.closed.catch((error: Error) => {
    debug('closed with an error: %s', error.message);
    process.exitCode = 4;
  });
} catch (error) {
  answerFailure(error);
  process.exitCode = 4;
}
