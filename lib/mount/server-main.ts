/**
 * What a supervised server runs: takes a mount over, serves it, says how that ended. Where it cannot serve on it dies,
 * and its supervisor starts another; where the supervisor dies, it serves on alone.
 */
import fs from 'node:fs';
import net from 'node:net';
import createDebug from 'debug';
import type { VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { SyncErrors } from '../fuse/sync-errors.js';
import type { OnlineOrder } from '../volume/online.js';
import { digestOfVolume, type OnlineVolume, openOnline, requireAsMounted } from '../volume/online-open.js';
import { Volume } from '../volume/volume.js';
import { toErrorRecord } from './control.js';
import { FuseMount } from './fuse-mount.js';
import { JsonLine } from './json-line.js';
import {
  FUSE_FD,
  HEADER_FD,
  LINE_FD,
  MEMORY_FD,
  type Order,
  PROMPT_FD,
  receiveOrder,
  WITNESS_FD,
} from './order.js';
import { attendSession, closeVolumeAfter, describeMount, sessionOptions } from './serve.js';
import { type FromServer, MAX_MESSAGE_CHARACTERS, type ToServer } from './server-line.js';
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
async function openOrdered(
  { device, layout, online, options }: Order,
  keys: VolumeKeys,
  onReencrypted: (digest: number | null) => void,
): Promise<OnlineVolume> {
  const payload = Device.adopt(device);
  const parts = { payload, layout, header: { fd: HEADER_FD, path: options.labels.header } };
  if (online) return openOnline(parts, keys, online, onReencrypted);
  if (!payload.isReadOnly) requireAsMounted(parts);
  return { volume: Volume.create(payload, layout, keys), online: null };
}

async function serve(order: Order, keys: VolumeKeys): Promise<void> {
  const { options, mount: record } = order;
  const onReencrypted = (digest: number | null) => line.send({ reencrypted: { digest, isOutdated: true } });
  const { volume, online } = await openOrdered(order, keys, onReencrypted);
  const mount = FuseMount.adopt(record!, FUSE_FD);
  const promptFd = order.hasPrompt ? PROMPT_FD : null;
  const memory = mapSessionMemory(MEMORY_FD);
  const adoption = { mount, memory, promptFd };
  const session = await Session.adopt(sessionOptions(volume, options), adoption, die);
  const ended = closeVolumeAfter(volume, session, async () => {
    await online?.stop();
    online?.close();
    // Before the payload, whose claim tells others that nobody has it open any more.
    fs.closeSync(WITNESS_FD);
  });
  const describe = () => describeMount(volume, session, options, online?.progress);
  let isServing = false;
  const handlers: Record<ToServer & string, () => void> = {
    describe: () => line.send({ mount: describe() }),
    drain: () => {
      isServing = false;
      void Promise.all([session.drain(), online?.stop()]).then(() => line.send({ drained: true }));
    },
  };
  const serveAs = (order: OnlineOrder | null) => {
    isServing = true;
    new SyncErrors(memory.syncErrorMemory).judgeInterrupted(() => fs.fdatasyncSync(WITNESS_FD));
    (online?.settle(order ?? undefined) ?? Promise.resolve()).then(() => session.serve(), die);
  };
  let isClosed = false;
  const serveAlone = () => {
    if (isClosed) return;
    if (!isServing) return die(new Error('the supervisor has gone'));
    attendSession(session, ended, describe, options).catch((error: Error) =>
      debug('alone: %s', error.message),
    );
  };
  const stream = new net.Socket({ fd: LINE_FD });
  const line = new JsonLine<ToServer, FromServer>(stream, MAX_MESSAGE_CHARACTERS, {
    onMessage: (message) => {
      if (typeof message === 'string') handlers[message]();
      else if ('serve' in message) serveAs(message.serve.online);
      else if ('connection' in message) mount.connection = message.connection;
      else online?.follow(message);
    },
    onEnd: serveAlone,
  });
  unmountOnSignals(Promise.resolve(session));
  line.send({ ready: describe() });
  const isDone = order.online && !online;
  if (isDone) line.send({ reencrypted: { digest: digestOfVolume(volume), isOutdated: false } });
  const error = await ended;
  isClosed = true;
  line.send({ closed: { error: error ? toErrorRecord(error) : null } });
  line.close();
}

try {
  const { order, keys } = await receiveOrder();
  await serve(order, keys);
} catch (error) {
  fs.writeSync(LINE_FD, `${JSON.stringify({ error: toErrorRecord(error) } satisfies FromServer)}\n`);
  die(error as Error);
}
