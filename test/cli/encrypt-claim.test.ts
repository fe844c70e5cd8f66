/**
 * `encrypt` has its payload for itself from before it makes the header to the end of the work, without a gap.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { Device } from '../../lib/device.js';
import { isClaimed } from '../../lib/image-lock.js';
import { luksfuse, mustLuksfuse } from '../kit/luksfuse.js';
import { makeTempDir } from '../kit/temp.js';

const MiB = 1024 * 1024;
/** A gap is seen. */
const hook = new URL('./slow-open.js', import.meta.url).href;
const PBKDF = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];

for (const name of ['detached', 'shifted']) {
  t.test(`the claim: ${name}`, async (t) => {
    const dir = makeTempDir(t);
    const [payload, header, keyFile] = ['payload', 'header', 'key'].map((file) => path.join(dir, file)) as [
      string,
      string,
      string,
    ];
    fs.writeFileSync(payload, Buffer.alloc(32 * MiB, 7));
    fs.writeFileSync(keyFile, 'encrypt-claim');
    const where = name === 'detached' ? ['--header', header] : ['--reduce-device-size', '8M'];
    const encrypting = luksfuse(['encrypt', '-q', ...where, ...PBKDF, '--key-file', keyFile, payload], {
      hook,
    });
    let isOver = false;
    const over = encrypting.finally(() => {
      isOver = true;
    });
    const device = Device.open(payload, { isReadOnly: true });
    t.teardown(() => device.close());
    const seen = [false];
    while (!isOver) {
      const end = Date.now() + 20;
      while (Date.now() < end) {
        const now = isClaimed(device);
        if (now !== seen.at(-1)) seen.push(now);
      }
      await turn();
    }
    t.match(await over, { code: 0 });
    t.strictSame(seen, [false, true, false], 'it is claimed once');
    const from = name === 'detached' ? ['--header', header] : [];
    const { stdout } = await mustLuksfuse([
      'cat',
      ...from,
      '--key-file',
      keyFile,
      '--length',
      '4096',
      payload,
    ]);
    t.ok(stdout.equals(Buffer.alloc(4096, 7)));
  });
}
