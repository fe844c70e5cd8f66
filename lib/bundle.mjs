/**
 * Puts the compiled program into few files, dist/lib/program: what Node takes to find and read some hundred modules is
 * most of what a command takes. Each file that is started by its name is an entry; all of them lie side by side, so that
 * one names another as it does in its room. Packages with native parts stay outside.
 */
import path from 'node:path';
import { build } from 'esbuild';

const compiled = path.join(import.meta.dirname, '../dist/lib');
const ENTRIES = [
  'cli/main',
  ...['mount/supervisor-main', 'mount/server-main', 'mount/daemon-main', 'mount/worker', 'mount/volume-store'],
  'volume/reencrypt-worker',
];

await build({
  entryPoints: ENTRIES.map((name) => path.join(compiled, `${name}.js`)),
  outdir: path.join(compiled, 'program'),
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  external: ['koffi', '@node-rs/argon2', 'fuse-native'],
  // For the packages that are CommonJS, and find Node's own modules by it.
  banner: { js: "import * as bundledModule from 'node:module';\nconst require = bundledModule.createRequire(import.meta.url);" },
  logLevel: 'warning',
});
