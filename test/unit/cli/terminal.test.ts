import t from 'tap';
import { Interrupted, PassphraseLine } from '../../../lib/cli/terminal.js';

function typed(text: string): string {
  const line = new PassphraseLine();
  for (const byte of Buffer.from(text)) if (line.type(byte)) break;
  return line.take().toString();
}

t.test('a line ends at newline, return or Ctrl-D', async (t) => {
  t.equal(typed('secret\nmore'), 'secret');
  t.equal(typed('secret\rmore'), 'secret');
  t.equal(typed('secret\x04more'), 'secret');
  t.equal(typed('\n'), '');
});

t.test('backspace takes a whole character, Ctrl-U the line', async (t) => {
  t.equal(typed('abc\x7f\x7fx\n'), 'ax');
  t.equal(typed('\u00e4\u20ac\x7f\x08z\n'), 'z');
  t.equal(typed('\x7f\x7fa\n'), 'a');
  t.equal(typed('wrong\x15right\n'), 'right');
});

t.test('Ctrl-C interrupts; more than the limit is refused, not cut', async (t) => {
  t.throws(() => typed('abc\x03'), new Interrupted('SIGINT'));
  t.equal(typed(`${'x'.repeat(512)}\n`), 'x'.repeat(512));
  t.throws(() => typed('x'.repeat(513)), { code: 'BAD_ARGUMENT' });
});
