/**
 * The engine over the system's libgcrypt, against the other engines: rows of blocks of every length and place, and what happens where the library is broken.
 */
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import t from 'tap';
import { findCipher } from '../../../lib/crypto/ciphers.js';
import type { Engine } from '../../../lib/crypto/engines/engine.js';
import { gcryptEngine } from '../../../lib/crypto/engines/gcrypt.js';
import { opensslEngine } from '../../../lib/crypto/engines/openssl.js';
import { wasmEngine } from '../../../lib/crypto/engines/wasm.js';
import { requireKernel } from '../../../lib/crypto/kernel.js';
import { createSectorCipher, findEngines } from '../../../lib/crypto/sector-cipher.js';
import { loadLibrary } from '../../../lib/native/library.js';
import { mustRun, run } from '../../kit/run.js';
import { makeTempDir } from '../../kit/temp.js';
import { judgeAll } from './verdicts.js';

const kernel = requireKernel();

/** For tap's `skip`. It is the processor that lacks something, so this is no failure where REQUIRE_ALL is set. */
function lackOf(spec: string, keyBits: number): string | false {
  const isHere = findEngines(spec, keyBits).includes('gcrypt-ffi');
  return isHere ? false : 'this machine has no libgcrypt 1.10 that makes use of AVX2, or VAES for AES';
}

const skip = lackOf('aes-xts-plain64', 512);

const CRYPTO = new URL('../../../lib/crypto/', import.meta.url).href;
/** Says which engine is taken, what it makes of zeros, and nothing else. */
const PROGRAM = `
  const { createSectorCipher } = await import('${CRYPTO}sector-cipher.js');
  const cipher = createSectorCipher('aes-xts-plain64', Buffer.alloc(64, 3), 512);
  const data = Buffer.alloc(40960);
  cipher.encryptInPlace(data, 5n);
  const said = cipher.engine + ' ' + data.toString('hex');
  cipher.decryptInPlace(data, 5n);
  if (data.some((byte) => byte !== 0)) throw new Error('it does not come back');
  cipher.destroy();
`;

/** What PROGRAM says by an engine that needs no libgcrypt, less the name. */
function expectedText(): string {
  const cipher = createSectorCipher('aes-xts-plain64', Buffer.alloc(64, 3), 512, { engine: 'node-crypto' });
  const data = Buffer.alloc(40960);
  cipher.encryptInPlace(data, 5n);
  cipher.destroy();
  return data.toString('hex');
}

/** Where rows of up to 2048 blocks may lie: in the middle, and at the memory's very end. */
const sources = [kernel.findOffset(kernel.findIoBuffer(81920)!)!, kernel.bytes.length - 64 - 32768];

const ROWS: [cipher: string, keyBytes: number, peer: Engine][] = [
  ['aes', 16, opensslEngine],
  ['aes', 24, opensslEngine],
  ['aes', 32, opensslEngine],
  ['serpent', 16, wasmEngine],
  ['serpent', 24, wasmEngine],
  ['serpent', 32, wasmEngine],
  ['twofish', 16, wasmEngine],
  ['twofish', 32, wasmEngine],
  ['camellia', 16, opensslEngine],
  ['camellia', 24, opensslEngine],
  ['camellia', 32, opensslEngine],
  ['sm4', 16, opensslEngine],
];

for (const [name, keyBytes, peer] of ROWS) {
  const cipher = findCipher(name)!;
  const key = crypto.randomBytes(keyBytes);
  const title = `rows of blocks of ${name} with ${keyBytes * 8} bits are what ${peer.name} makes of them`;
  t.test(title, { skip: lackOf(`${name}-ecb`, keyBytes * 8) }, async (t) => {
    const ours = gcryptEngine.findBlockCipher(kernel, cipher, key)!;
    const theirs = peer.findBlockCipher(kernel, cipher, key)!;
    const rows = fc.property(
      fc.oneof(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 1, max: 2048 })),
      fc.constantFrom(...sources),
      fc.constantFrom('in place', 'apart', 'right behind', 'right before'),
      fc.constantFrom('encrypt', 'decrypt'),
      (blockCount, source, place, direction) => {
        const length = blockCount * 16;
        const targets = {
          'in place': source,
          apart: kernel.chunkOffset,
          'right behind': source + length,
          'right before': source - length,
        };
        const target = targets[place as keyof typeof targets];
        fc.pre(target + length + 16 <= kernel.bytes.length);
        const text = crypto.randomBytes(length);
        const results = [theirs, ours].map((block) => {
          kernel.bytes.fill(0xa5, target, target + length + 16);
          kernel.bytes.set(text, source);
          block[direction](source, target, length);
          return Buffer.from(kernel.bytes.subarray(target, target + length + 16));
        });
        return results[0]!.equals(results[1]!);
      },
    );
    t.doesNotThrow(() => fc.assert(rows, { numRuns: 200 }));
    ours.destroy();
    theirs.destroy();
  });
}

t.test('the last buffer of the memory can be worked on', { skip }, async (t) => {
  const cipher = createSectorCipher('aes-xts-plain64', crypto.randomBytes(64), 512);
  t.equal(cipher.engine, 'gcrypt-ffi');
  const buffers = [];
  for (let buffer = kernel.findIoBuffer(65536); buffer; buffer = kernel.findIoBuffer(65536))
    buffers.push(buffer);
  const last = buffers.at(-1)!.fill(7);
  cipher.encryptInPlace(last, 0n);
  cipher.decryptInPlace(last, 0n);
  t.ok(last.equals(Buffer.alloc(65536, 7)));
  cipher.destroy();
  for (const buffer of buffers) kernel.releaseIoBuffer(buffer);
});

t.test('threads that begin at the same time', { skip }, async (t) => {
  const code = `${PROGRAM} (await import('node:worker_threads')).parentPort.postMessage(said);`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const results = await Promise.all(
    Array.from({ length: 8 }, () => {
      const worker = new Worker(url);
      return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    }),
  );
  for (const result of results) t.equal(result, `gcrypt-ffi ${expectedText()}`);
});

/** Runs PROGRAM in a process of its own. */
function runProgram(env: Record<string, string>) {
  return run(process.execPath, ['--input-type=module', '-e', `${PROGRAM} process.stdout.write(said);`], {
    env,
  });
}

t.test('the library says nothing', { skip }, async (t) => {
  const { code, stdout, stderr } = await runProgram({});
  t.strictSame([code, stderr], [0, '']);
  t.equal(stdout.toString(), `gcrypt-ffi ${expectedText()}`);
});

/** By libgcrypt's names. */
function listFeatures(): string[] {
  const getConfig = loadLibrary('libgcrypt.so.20')!<(mode: number, what: string) => string>(
    'const char *gcry_get_config(int mode, const char *what)',
  )!;
  return getConfig(0, 'hwflist').trim().split(':').slice(1, -1);
}

/** Judges the engine in a process whose libgcrypt was told first to leave features of the processor alone. */
const WITHOUT_FEATURE = `
  const { loadLibrary } = await import('${CRYPTO}../native/library.js');
  const control = loadLibrary('libgcrypt.so.20')('uint32_t gcry_control(int command, ...)');
  const GCRYCTL_DISABLE_HWF = 63;
  if (control(GCRYCTL_DISABLE_HWF, 'str', process.argv[1], 'void *', null) !== 0) throw new Error('not turned off');
  const { gcryptEngine } = await import('${CRYPTO}engines/gcrypt.js');
  const { judgeAll } = await import('${new URL('./verdicts.js', import.meta.url).href}');
  process.stdout.write(JSON.stringify(judgeAll(gcryptEngine)));
`;

t.test('with each feature of the processor turned off it is right, or not used', { skip }, async (t) => {
  const all = judgeAll(gcryptEngine);
  t.strictSame(all.wrong, []);
  const features = listFeatures();
  t.ok(features.length > 5);
  const widest = features.filter((feature) => /avx512|gfni|vaes/.test(feature)).join(',');
  for (const feature of [...features, widest]) {
    const args = ['--input-type=module', '-e', WITHOUT_FEATURE, feature];
    const { stdout } = await mustRun(process.execPath, args);
    const { right, wrong } = JSON.parse(stdout.toString());
    t.strictSame(wrong, [], `without ${feature}`);
    t.comment(`without ${feature}: ${right.length} of ${all.right.length} uses`);
  }
});

t.test('a library that is broken is not used', async (t) => {
  const dir = makeTempDir(t);
  fs.writeFileSync(path.join(dir, 'libgcrypt.so.20'), 'no library\n');
  const { code, stdout, stderr } = await runProgram({ LD_LIBRARY_PATH: dir });
  t.strictSame([code, stderr], [0, '']);
  t.match(stdout.toString(), /^(openssl-ffi|node-crypto) /);
  t.equal(stdout.toString().split(' ')[1], expectedText());
});

t.test('what it is not faster at is left to others', async (t) => {
  for (const [spec, keyBits] of [
    ['aria-xts-plain64', 512],
    ['cast6-xts-plain64', 512],
    ['twofish-xts-plain64', 384],
    ['blowfish-cbc-plain64', 256],
    ['des3_ede-cbc-plain64', 192],
  ] as const) {
    t.notOk(findEngines(spec, keyBits).includes('gcrypt-ffi'), spec);
  }
});
