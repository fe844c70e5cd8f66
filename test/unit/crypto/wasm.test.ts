import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { PROJECT_DIR } from '../../kit/luksfuse.js';

const isInstalled = fs.existsSync(path.join(PROJECT_DIR, 'node_modules/assemblyscript'));
const skip = isInstalled || process.env.REQUIRE_ALL === '1' ? false : 'npm ci installs the compiler';

t.test('the committed WASM module is what its sources compile to', { skip }, async (t) => {
  const build = path.join(PROJECT_DIR, 'lib/crypto/wasm/build.mjs');
  const { status, stderr } = spawnSync(process.execPath, [build, '--check']);
  t.equal(status, 0, stderr.toString());
});
