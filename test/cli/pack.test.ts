import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { PROJECT_DIR } from '../kit/luksfuse.js';
import { mustRun } from '../kit/run.js';
import { makeTempDir } from '../kit/temp.js';

t.test('the package holds the program and its pages, nothing else, and runs', async (t) => {
  const dir = makeTempDir(t);
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', dir];
  const { stdout } = await mustRun('npm', pack, {
    cwd: PROJECT_DIR,
    env: { npm_config_cache: path.join(dir, 'cache') },
  });
  const [{ filename, files }] = JSON.parse(stdout.toString()) as [
    { filename: string; files: { path: string }[] },
  ];
  const paths = files.map((file) => file.path);
  const others = paths.filter(
    (name) => !/^(dist\/lib|bin|man)\/|^(package\.json|README\.md|LICENSE)$/.test(name),
  );
  t.same(others, []);
  t.ok(paths.includes('dist/lib/systemd/luksfuse@.service'));
  t.notOk(
    paths.some((name) => name.includes('wasm/assembly')),
    'no sources of the WASM',
  );

  await mustRun('tar', ['-xzf', path.join(dir, filename), '-C', dir]);
  fs.symlinkSync(path.join(PROJECT_DIR, 'node_modules'), path.join(dir, 'package/node_modules'));
  fs.symlinkSync(path.join(dir, 'package/bin/luksfuse'), path.join(dir, 'luksfuse'));
  const { version } = JSON.parse(fs.readFileSync(path.join(PROJECT_DIR, 'package.json'), 'utf8'));
  t.equal((await mustRun(path.join(dir, 'luksfuse'), ['--version'])).stdout.toString().trim(), version);
});
