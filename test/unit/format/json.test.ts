import t from 'tap';
import { isBase64, isUint64, member, numberedMembers, parseJsonArea } from '../../../lib/format/json.js';

function area(text: string, sizeBytes = 512): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  bytes.write(text);
  return bytes;
}

t.test('an object, NULs behind it', async (t) => {
  t.strictSame(parseJsonArea(area('{"a":[1,"ü"]}')), { a: [1, 'ü'] });
});

t.test('everything else is refused with its reason', async (t) => {
  const rows: [Buffer, RegExp][] = [
    [Buffer.from('{"a":1}'), /not NUL-terminated/],
    [area(' {"a":1}'), /does not begin/],
    [area('[]'), /does not begin/],
    [area(''), /does not begin|malformed/],
    [area('{"a":1}\0x'), /behind the end/],
    [area('{"a":1}x'), /malformed/],
    [area('{"a":'), /malformed/],
    [Buffer.concat([Buffer.from('{"a":"\xff"}', 'latin1'), Buffer.alloc(9)]), /malformed/],
    [area(`{"a":${'['.repeat(40)}${']'.repeat(40)}}`), /nested deeper/],
    [area(`{"a":${'['.repeat(1e6)}`, 2e6), /nested deeper/],
  ];
  for (const [bytes, reason] of rows) {
    t.throws(() => parseJsonArea(bytes), { message: reason }, String(reason));
  }
});

t.test('brackets in strings are not nesting', async (t) => {
  const text = '[{"\\"'.repeat(50);
  t.strictSame(parseJsonArea(area(JSON.stringify({ a: text }), 2048)), { a: text });
});

t.test('names of Object.prototype are nothing special', async (t) => {
  const document = parseJsonArea(area('{"__proto__":{"polluted":1},"constructor":{"1":{}}}'));
  t.equal(({} as Record<string, unknown>).polluted, undefined);
  t.equal(member(document, 'toString'), undefined);
  t.strictSame(member(document, '__proto__'), { polluted: 1 });
  t.strictSame(numberedMembers(document, 'valueOf'), []);
  t.strictSame(numberedMembers(document, 'constructor'), [[1, {}]]);
});

t.test('numbers beyond 32 bits', async (t) => {
  for (const good of ['0', '18446744073709551615', '00012']) t.ok(isUint64(good), good);
  for (const bad of [
    '',
    '-1',
    '1e3',
    '0x10',
    ' 1',
    '18446744073709551616',
    '1'.repeat(40),
    1,
    null,
    undefined,
  ]) {
    t.notOk(isUint64(bad), String(bad));
  }
});

t.test('base64', async (t) => {
  for (const good of ['AA==', 'AAA=', 'AAAA']) t.ok(isBase64(good), good);
  for (const bad of ['', 'A', 'AA', 'A A=', 'AA==\n', 'AB==', '__8=', 5]) t.notOk(isBase64(bad), String(bad));
});
