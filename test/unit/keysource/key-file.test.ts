import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type KeyFileRange, readKeyFile as readFor } from '../../../lib/keysource/key-file.js';

const readKeyFile = (file: string, range?: KeyFileRange) => readFor(file, 'luks-test', range);

const KEY = Buffer.from([0, 1, 0xff, 0x0a, 0, 0xc3, 0x28, 9]);

t.test('all bytes count: NUL, newline, broken UTF-8', async (t) => {
  const file = path.join(t.testdir(), 'key');
  fs.writeFileSync(file, KEY);
  t.same(readKeyFile(file), KEY);
  t.same(readKeyFile(file, { offsetBytes: 3 }), KEY.subarray(3));
  t.same(readKeyFile(file, { offsetBytes: 3, sizeBytes: 2 }), KEY.subarray(3, 5));
  t.same(readKeyFile(file, { sizeBytes: 8 }), KEY);
});

t.test('what is not there is refused', async (t) => {
  const file = path.join(t.testdir(), 'key');
  fs.writeFileSync(file, KEY);
  t.throws(() => readKeyFile(file, { sizeBytes: 9 }), { code: 'BAD_ARGUMENT' });
  t.throws(() => readKeyFile(file, { offsetBytes: 7, sizeBytes: 2 }), { code: 'BAD_ARGUMENT' });
  t.throws(() => readKeyFile(`${file}.missing`), { code: 'BAD_ARGUMENT' });
  t.throws(() => readKeyFile(t.testdirName), { code: 'BAD_ARGUMENT' });
});

t.test('the limit of 8 MiB holds, exactly', async (t) => {
  const file = path.join(t.testdir(), 'key');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, 8 * 1024 * 1024);
  t.equal(readKeyFile(file).length, 8 * 1024 * 1024);
  fs.truncateSync(file, 8 * 1024 * 1024 + 1);
  t.throws(() => readKeyFile(file), { code: 'BAD_ARGUMENT' });
  t.equal(readKeyFile(file, { sizeBytes: 100 }).length, 100);
});
