/**
 * Machines that the program is not for: it says so, whatever is asked of it.
 */
import t from 'tap';
import { luksfuse } from '../kit/luksfuse.js';

/** Has node run this before the program. */
function before(script: string): { env: Record<string, string> } {
  return { env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` } };
}

const MACOS = "Object.defineProperty(process, 'platform', { value: 'darwin' })";
const BIG_ENDIAN = `
  import os from 'node:os';
  import { syncBuiltinESMExports } from 'node:module';
  os.endianness = () => 'BE';
  syncBuiltinESMExports();
`;

t.test('elsewhere than on little-endian Linux', async (t) => {
  for (const args of [['--version'], ['mount', 'payload', 'mountpoint']]) {
    t.match(await luksfuse(args, before(MACOS)), {
      code: 4,
      stderr: /^luksfuse: cannot start: .* this is darwin; run it on Linux.*\n$/,
    });
    t.match(await luksfuse(args, before(BIG_ENDIAN)), {
      code: 4,
      stderr: /^luksfuse: cannot start: big-endian machines .*; use a little-endian one\n$/,
    });
  }
});
