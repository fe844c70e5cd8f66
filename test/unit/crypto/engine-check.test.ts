/** An engine that gives wrong bytes is not used, wherever in it the fault is. */
import crypto from 'node:crypto';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { findCipher } from '../../../lib/crypto/ciphers.js';
import { checkEngine } from '../../../lib/crypto/engine-check.js';
import type { Engine, EngineName } from '../../../lib/crypto/engines/engine.js';
import { gcryptEngine } from '../../../lib/crypto/engines/gcrypt.js';
import { opensslEngine } from '../../../lib/crypto/engines/openssl.js';
import { requireKernel } from '../../../lib/crypto/kernel.js';
import { findMode } from '../../../lib/crypto/modes.js';
import { createSectorCipher, findEngines } from '../../../lib/crypto/sector-cipher.js';
import { encryptNaively } from './reference.js';

const kernel = requireKernel();

/** Wraps what an engine gives so that one bit in the last byte of what is turned is wrong, if `isWrong` says so. */
function spoil<T extends object>(
  found: T | null,
  isWrong: (call: string, args: number[]) => boolean,
): T | null {
  if (!found) return null;
  const wrap =
    (call: string, method: (...args: number[]) => void) =>
    (...args: number[]) => {
      method.apply(found, args);
      if (!isWrong(call, args)) return;
      // encrypt(source, target, length), encryptInPlace(offset, [masks,] length, …)
      const [target, length] = call.endsWith('InPlace')
        ? [args[0]!, args.length === 3 && args[1]! > 65536 ? args[2]! : args[1]!]
        : [args[1]!, args[2]!];
      kernel.bytes[target + length - 1]! ^= 1;
    };
  return Object.fromEntries(
    Object.entries(found).map(([name, value]) => [name, /crypt/.test(name) ? wrap(name, value) : value]),
  ) as T;
}

interface Fault {
  what: string;
  base: Engine;
  cipher: string;
  mode: string;
  keyBytes: number;
  sectorSizeBytes: number;
  spoiled: (engine: Engine) => Partial<Engine>;
}

const onlyDecrypts = (call: string) => call.startsWith('decrypt');

const FAULTS: Fault[] = [
  {
    what: 'its XTS of a sector, when it decrypts',
    ...{ base: opensslEngine, cipher: 'aes', mode: 'xts', keyBytes: 64, sectorSizeBytes: 4096 },
    spoiled: (engine) => ({ findXtsSector: (...args) => spoil(engine.findXtsSector(...args), onlyDecrypts) }),
  },
  {
    what: 'its chain of CBC, when it decrypts',
    ...{ base: opensslEngine, cipher: 'camellia', mode: 'cbc', keyBytes: 16, sectorSizeBytes: 1024 },
    spoiled: (engine) => ({ findCbcChain: (...args) => spoil(engine.findCbcChain(...args), onlyDecrypts) }),
  },
  {
    what: 'its masked blocks, from 1000 blocks on',
    ...{ base: gcryptEngine, cipher: 'aes', mode: 'xts', keyBytes: 32, sectorSizeBytes: 512 },
    spoiled: (engine) => ({
      findMaskedBlocks: (...args) =>
        spoil(engine.findMaskedBlocks(...args), (_, [, , length]) => length! >= 16_000),
    }),
  },
  {
    what: 'its blocks, when they are fewer than 16',
    ...{ base: gcryptEngine, cipher: 'serpent', mode: 'xts', keyBytes: 64, sectorSizeBytes: 4096 },
    spoiled: (engine) => ({
      findBlockCipher: (...args) =>
        spoil(engine.findBlockCipher(...args), (_, [, , length]) => length! < 256),
    }),
  },
  {
    what: 'a single block',
    ...{ base: opensslEngine, cipher: 'blowfish', mode: 'ecb', keyBytes: 32, sectorSizeBytes: 512 },
    spoiled: (engine) => ({
      findBlockCipher: (...args) => spoil(engine.findBlockCipher(...args), (_, [, , length]) => length === 8),
    }),
  },
  {
    what: 'XTS with two equal halves of the key',
    ...{ base: opensslEngine, cipher: 'aes', mode: 'xts', keyBytes: 48, sectorSizeBytes: 4096 },
    spoiled: (engine) => ({
      findBlockCipher: (...args) =>
        spoil(engine.findBlockCipher(...args), (_, [, , length]) => length! > 8000),
    }),
  },
  {
    what: 'an error instead of an answer',
    ...{ base: opensslEngine, cipher: 'aria', mode: 'ctr', keyBytes: 32, sectorSizeBytes: 512 },
    spoiled: (engine) => ({
      findBlockCipher: (...args) =>
        spoil(engine.findBlockCipher(...args), () => {
          throw new Error('refused');
        }),
    }),
  },
];

for (const [index, { what, base, spoiled, ...fault }] of FAULTS.entries()) {
  const use = {
    ...fault,
    cipher: findCipher(fault.cipher)!,
    mode: findMode(fault.mode)!,
  };
  const right = { ...base, name: `right ${index}` as EngineName };
  const skip = checkEngine(right, use) === 'missing' && `${base.name} has no ${fault.cipher} here`;
  t.test(`an engine is refused for ${what}`, { skip }, async (t) => {
    t.equal(checkEngine(right, use), 'right');
    t.equal(checkEngine({ ...base, ...spoiled(base), name: `wrong ${index}` as EngineName }, use), 'wrong');
  });
}

t.test('the next engine serves, in threads as well, and is right', async (t) => {
  const original = { openssl: opensslEngine.findXtsSector, gcrypt: gcryptEngine.findXtsSector };
  const [spec, keyBits] = ['aes-xts-plain64', 512] as const;
  const key = crypto.randomBytes(keyBits / 8);
  for (const [engine, find] of [
    [opensslEngine, original.openssl],
    [gcryptEngine, original.gcrypt],
  ] as const) {
    engine.findXtsSector = (...args) => spoil(find(...args), () => true);
  }
  t.teardown(() => {
    opensslEngine.findXtsSector = original.openssl;
    gcryptEngine.findXtsSector = original.gcrypt;
  });
  const cipher = createSectorCipher(spec, key, 4096);
  t.equal(cipher.engine, 'node-crypto');
  const data = crypto.randomBytes(40960);
  const expected = encryptNaively(spec, key, 4096, data, 5n);
  cipher.encryptInPlace(data, 5n);
  t.ok(data.equals(expected));
  t.throws(() => createSectorCipher(spec, key, 4096, { engine: 'openssl-ffi' }), {
    code: 'UNSUPPORTED',
    message: /engine openssl-ffi has no working aes-xts-plain64/,
  });
  // Sectors of another size go another way.
  t.match(
    findEngines(spec, keyBits),
    ['gcrypt-ffi', 'openssl-ffi', 'node-crypto'].slice(-findEngines(spec, keyBits).length),
  );

  // A thread has engines that are whole, and takes the word of the one that started it.
  const module = new URL('../../../lib/crypto/sector-cipher.js', import.meta.url).href;
  const code = `
    const { createSectorCipher } = await import('${module}');
    const cipher = createSectorCipher('${spec}', Buffer.alloc(${keyBits / 8}), 4096);
    (await import('node:worker_threads')).parentPort.postMessage(cipher.engine);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  const engine = await new Promise((resolve, reject) =>
    worker.once('message', resolve).once('error', reject),
  );
  t.equal(engine, 'node-crypto');
});
