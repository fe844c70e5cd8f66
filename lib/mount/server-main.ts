/**
 * What a supervised server runs: takes a mount over, serves it, says how that ended. Where it cannot serve on it dies,
 * and its supervisor starts another; where the supervisor dies, it serves on alone.
 */
import fs from 'node:fs';
import net from 'node:net';
import createDebug from 'debug';
import type { VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { makeProcessUndumpable } from '../native/memory.js';
import { digestOfVolume, type OnlineVolume, openOnline } from '../volume/online-open.js';
import { Volume } from '../volume/volume.js';
import { toErrorRecord } from './control.js';
import { FuseMount } from './fuse-mount.js';
import { FUSE_FD, HEADER_FD, LINE_FD, MEMORY_FD, type Order, PROMPT_FD, receiveOrder } from './order.js';
import { attendSession, closeVolumeAfter, describeMount, sessionOptions } from './serve.js';
import { type FromServer, ServerLine, type ToServer } from './server-line.js';
import { Session } from './session.js';
import { mapSessionMemory } from './session-memory.js';
import { unmountOnSignals } from './signals.js';

const debug = createDebug('luksfuse:daemon');

/** Workers that wait in read(2) cannot be ended otherwise, and the supervisor sees to the rest. */
function die(why: Error): void {
  debug('%s', why.message);
  process.kill(process.pid, 'SIGKILL');
}

/** The volume as the order has it, or as its header has it where that changes while it is served. */
function openOrdered(
  { device, layout, online, options }: Order,
  keys: VolumeKeys,
  onReencrypted: (digest: number | null) => void,
): Promise<OnlineVolume> {
  const payload = Device.adopt(device);
  if (!online) return Promise.resolve({ volume: Volume.create(payload, layout, keys), online: null });
  const header = { fd: HEADER_FD, path: options.labels.header };
  return openOnline({ payload, layout, header }, keys, online, onReencrypted);
}

async function serve(order: Order, keys: VolumeKeys): Promise<void> {
  const { options, mount: record } = order;
  const onReencrypted = (digest: number | null) => line.send({ reencrypted: { digest, isOutdated: true } });
  const { volume, online } = await openOrdered(order, keys, onReencrypted);
  const mount = FuseMount.adopt(record!, FUSE_FD);
  const promptFd = order.hasPrompt ? PROMPT_FD : null;
  const adoption = { mount, memory: mapSessionMemory(MEMORY_FD), promptFd };
  const session = await Session.adopt(sessionOptions(volume, options), adoption, die);
  const ended = closeVolumeAfter(volume, session, async () => {
    await online?.stop();
    online?.close();
  });
  const describe = () => describeMount(volume, session, options, online?.progress);
  let isServing = false;
  const handlers: Record<ToServer & string, () => void> = {
    serve: () => {
      isServing = true;
      (online?.settle() ?? Promise.resolve()).then(() => session.serve(), die);
    },
    describe: () => line.send({ mount: describe() }),
    drain: () => {
      isServing = false;
      void Promise.all([session.drain(), online?.stop()]).then(() => line.send({ drained: true }));
    },
  };
  let isClosed = false;
  const serveAlone = () => {
    if (isClosed) return;
    if (!isServing) return die(new Error('the supervisor has gone'));
    attendSession(session, ended, describe, options).catch((error: Error) =>
      debug('alone: %s', error.message),
    );
  };
  const line = new ServerLine<ToServer, FromServer>(
    new net.Socket({ fd: LINE_FD }),
    (message) => (typeof message === 'string' ? handlers[message]() : online?.follow(message)),
    serveAlone,
  );
  unmountOnSignals(Promise.resolve(session));
  line.send({ ready: describe() });
  const isDone = order.online && !online;
  if (isDone) line.send({ reencrypted: { digest: digestOfVolume(volume), isOutdated: false } });
  const error = await ended;
  isClosed = true;
  line.send({ closed: { error: error ? toErrorRecord(error) : null } });
  line.close();
}

makeProcessUndumpable();
try {
  const { order, keys } = receiveOrder();
  await serve(order, keys);
} catch (error) {
  fs.writeSync(LINE_FD, `${JSON.stringify({ error: toErrorRecord(error) } satisfies FromServer)}\n`);
  die(error as Error);
}
