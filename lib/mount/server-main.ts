/**
 * What a supervised server runs: takes a mount over, serves it, says how that ended. Where it cannot serve on it dies,
 * and its supervisor starts another; where the supervisor dies, it serves on alone.
 */
import fs from 'node:fs';
import net from 'node:net';
import createDebug from 'debug';
import { Device } from '../device.js';
import { makeProcessUndumpable } from '../native/memory.js';
import { Volume } from '../volume/volume.js';
import { toErrorRecord } from './control.js';
import { FuseMount } from './fuse-mount.js';
import { FUSE_FD, LINE_FD, MEMORY_FD, type Order, receiveOrder } from './order.js';
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

async function serve(volume: Volume, { options, mount: record }: Order): Promise<void> {
  const adoption = { mount: FuseMount.adopt(record!, FUSE_FD), memory: mapSessionMemory(MEMORY_FD) };
  const session = await Session.adopt(sessionOptions(volume, options), adoption, die);
  const ended = closeVolumeAfter(volume, session);
  const describe = () => describeMount(volume, session, options);
  let isServing = false;
  const handlers: Record<ToServer, () => void> = {
    serve: () => {
      isServing = true;
      session.serve();
    },
    describe: () => line.send({ mount: describe() }),
    drain: () => {
      isServing = false;
      void session.drain().then(() => line.send({ drained: true }));
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
    (message) => handlers[message](),
    serveAlone,
  );
  unmountOnSignals(Promise.resolve(session));
  line.send({ ready: describe() });
  const error = await ended;
  isClosed = true;
  line.send({ closed: { error: error ? toErrorRecord(error) : null } });
  line.close();
}

makeProcessUndumpable();
try {
  const { order, keys } = receiveOrder();
  await serve(Volume.create(Device.adopt(order.device), order.layout, keys), order);
} catch (error) {
  fs.writeSync(LINE_FD, `${JSON.stringify({ error: toErrorRecord(error) } satisfies FromServer)}\n`);
  die(error as Error);
}
