import net from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Secret } from '../../../lib/crypto/secret.js';
import { fetchKeys, withKeyOffer } from '../../../lib/mount/key-line.js';
import { waitUntil } from '../../kit/processes.js';
import { makeTempDir } from '../../kit/temp.js';

const SHAPES = [{ digest: 0, sizeBytes: 64 }];

async function listen(t: Test, greet: (socket: net.Socket) => void): Promise<string> {
  const from = path.join(makeTempDir(t), 'keys');
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    greet(socket);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(from, resolve));
  return from;
}

t.test('who offers keys and says nothing is not waited for', async (t) => {
  const offer = { path: await listen(t, () => {}), shapes: SHAPES };
  await t.rejects(fetchKeys(offer, 100), { code: 'DEVICE_IO' });
});

t.test('nor who never ends', async (t) => {
  const babble = (socket: net.Socket) => {
    const more = () => !socket.destroyed && socket.write(Buffer.alloc(4096), more);
    more();
  };
  await t.rejects(fetchKeys({ path: await listen(t, babble), shapes: SHAPES }), { code: 'DEVICE_IO' });
});

t.test('who is offered keys and does not go is not waited for either', async (t) => {
  const key = Secret.takeFrom(Buffer.alloc(64, 7));
  await withKeyOffer(new Map([[0, key]]), process.pid, async (offer) => {
    const keys = await fetchKeys(offer);
    t.same([...keys.get(0)!.bytes], [...Buffer.alloc(64, 7)]);
    keys.get(0)!.destroy();
  });
  let visitor!: net.Socket;
  await withKeyOffer(new Map([[0, key]]), process.pid, async (offer) => {
    visitor = net.connect({ path: offer.path, allowHalfOpen: true });
    await new Promise((resolve) => visitor.once('data', resolve));
  });
  visitor.on('error', () => {});
  await waitUntil('the connection is gone', () => {
    if (!visitor.destroyed) visitor.write('x');
    return visitor.destroyed;
  });
  visitor.destroy();
  key.destroy();
});
