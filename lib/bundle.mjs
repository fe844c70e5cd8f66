/**
 * Puts the compiled program into few files, dist/lib/program: what Node takes to find and read some hundred modules is
 * most of what a command takes. Each file that is started by its name is an entry, and so is the library; all of them
 * lie side by side, so that one names another as it does in its room. Packages with native parts stay outside.
 */
import fs from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const root = path.join(import.meta.dirname, '..');
const compiled = path.join(root, 'dist/lib');
const program = path.join(compiled, 'program');
const ENTRIES = [
  ...['index', 'cli/main', 'volume/reencrypt-worker'],
  ...['mount/supervisor-main', 'mount/server-main', 'mount/daemon-main', 'mount/worker', 'mount/volume-store'],
];

const { metafile } = await build({
  entryPoints: ENTRIES.map((name) => path.join(compiled, `${name}.js`)),
  outdir: program,
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  external: ['koffi', '@node-rs/argon2', 'fuse-native'],
  // For the packages that are CommonJS, and find Node's own modules by it.
  banner: { js: "import * as bundledModule from 'node:module';\nconst require = bundledModule.createRequire(import.meta.url);" },
  absWorkingDir: root,
  metafile: true,
  logLevel: 'warning',
});

/** The licences of the packages that went into the bundle go with it. */
const packages = new Set(Object.keys(metafile.inputs).flatMap((file) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []));
const notices = [...packages].sort().map((dir) => {
  const { name, version } = JSON.parse(fs.readFileSync(path.join(root, dir, 'package.json'), 'utf8'));
  const file = fs.readdirSync(path.join(root, dir)).find((entry) => /^licen[cs]e/i.test(entry));
  return `${name} ${version}\n\n${fs.readFileSync(path.join(root, dir, file), 'utf8').trim()}\n`;
});
fs.writeFileSync(path.join(program, 'LICENSES'), notices.join('\n\n'));
