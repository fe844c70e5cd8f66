/**
 * Whatever bytes come, in whatever pieces: documents are heard, or the end, once.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { JsonLine } from '../../../lib/mount/json-line.js';
import { Random } from '../../kit/random.js';
import { makeTempDir } from '../../kit/temp.js';

/** Two ends of a connection. */
async function connect(t: Test): Promise<[net.Socket, net.Socket]> {
  const file = path.join(makeTempDir(t), 'socket');
  const server = net.createServer().listen(file);
  await once(server, 'listening');
  const visitor = net.connect(file);
  const [host] = (await once(server, 'connection')) as [net.Socket];
  server.close();
  fs.rmSync(file, { force: true });
  t.teardown(() => {
    visitor.destroy();
    host.destroy();
  });
  return [visitor.on('error', () => {}), host];
}

/** What is heard on one end until the connection is gone. */
function listen(socket: net.Socket, maxCharacters = 1000) {
  const heard: unknown[] = [];
  let ends = 0;
  const ended = new Promise<void>((resolve) => {
    new JsonLine<unknown, unknown>(socket, maxCharacters, {
      onMessage: (message) => heard.push(message),
      onEnd: () => {
        ends += 1;
        resolve();
      },
    });
  });
  return { heard, ended, endCount: () => ends };
}

t.test('documents in whatever pieces', async (t) => {
  const [visitor, host] = await connect(t);
  const { heard, ended } = listen(host);
  const documents = [{ a: 'ä€😀' }, 'word', { list: [1, 2] }];
  for (const byte of Buffer.from(documents.map((each) => `${JSON.stringify(each)}\n`).join(''))) {
    visitor.write(Buffer.of(byte));
  }
  visitor.end('{"half":');
  await ended;
  t.strictSame(heard, documents);
});

t.test('what is none ends it', async (t) => {
  for (const bytes of [
    '\n',
    'x\n{"a":1}\n',
    '0\n',
    'null\n',
    `${'y'.repeat(2000)}`,
    `{"a":"${'y'.repeat(2000)}"}\n`,
    '\xff\xfe\n',
  ]) {
    const [visitor, host] = await connect(t);
    const { heard, ended, endCount } = listen(host);
    visitor.write(bytes, 'latin1');
    await ended;
    t.strictSame(heard, []);
    t.equal(endCount(), 1);
  }
});

t.test('bytes of all kinds', async (t) => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new Random(seed);
    const [visitor, host] = await connect(t);
    const { ended, endCount } = listen(host, 64);
    const pieces = ['{"a":1}\n', '\n', '{', '"', 'é', '\0', '\u2028', '[]', '\r\n'];
    for (let count = random.below(20); count > 0; count--) {
      visitor.write(random.oneIn(3) ? random.bytes(random.below(40)) : random.pick(pieces));
    }
    if (random.oneIn(2)) visitor.end();
    else visitor.destroy();
    await ended;
    if (endCount() !== 1) t.fail(`seed ${seed}`);
  }
  t.pass('100 of them');
});
