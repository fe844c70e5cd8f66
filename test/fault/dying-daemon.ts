/**
 * Loaded before the program, ends what its environment names by DEBUG: a supervisor, a server or a daemon, before it takes
 * the order, or with the order unread.
 */
import fs from 'node:fs';

const [, program, how] = /^dying:([a-z]+):([a-z]+)$/.exec(process.env.DEBUG ?? '') ?? [];
if (program && process.argv[1]?.endsWith(`/${program}-main.js`)) {
  if (how === 'unread') {
    fs.writeSync(3, '!');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  }
  if (how === 'memfd') await import('./without-memfd.js');
  else process.exit(3);
}
