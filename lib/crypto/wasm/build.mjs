/**
 * Compiles assembly/ into kernel.wasm.ts, the generated and committed module with the bytes inlined, so that
 * nothing has to be built or found at run time. `--check` writes nothing and fails where the committed module
 * is not what the sources give.
 */
import fs from 'node:fs';
import path from 'node:path';
import asc from 'assemblyscript/asc';

const here = import.meta.dirname;
const target = path.join(here, 'kernel.wasm.ts');
const MEMORY_PAGES = 80;

const OPTIONS = [
  'assembly/index.ts',
  ...['--outFile', 'kernel.wasm', '-O3', '--enable', 'simd', '--runtime', 'stub', '--use', 'abort='],
  ...['--importMemory', '--noExportMemory'],
  ...['--initialMemory', `${MEMORY_PAGES}`, '--maximumMemory', `${MEMORY_PAGES}`],
];

async function compile() {
  let bytes = null;
  const { error, stderr } = await asc.main(OPTIONS, {
    readFile: (name, base) => {
      // Imports are spelled as everywhere in lib/, with `.js`; the compiler puts a `.ts` behind.
      const file = path.resolve(here, base, name.replace(/\.js\.ts$/, '.ts'));
      return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : null;
    },
    writeFile: (name, contents) => {
      if (name.endsWith('.wasm')) bytes = contents;
    },
    listFiles: () => [],
  });
  if (error) throw new Error(`${stderr}\n${error.message}`);
  return Buffer.from(bytes);
}

function moduleText(bytes) {
  const lines = bytes.toString('base64').match(/.{1,100}/g);
  return [
    '/** Generated from assembly/ by build.mjs: do not edit. */',
    `export const MEMORY_PAGES = ${MEMORY_PAGES};`,
    'export const WASM_BASE64 =',
    ...lines.map((line, index) => `  '${line}'${index === lines.length - 1 ? ';' : ' +'}`),
    '',
  ].join('\n');
}

const text = moduleText(await compile());
if (!process.argv.includes('--check')) {
  fs.writeFileSync(target, text);
} else if (fs.readFileSync(target, 'utf8') !== text) {
  process.stderr.write(`${target} is not what assembly/ compiles to; run "npm run build:wasm"\n`);
  process.exitCode = 1;
}
