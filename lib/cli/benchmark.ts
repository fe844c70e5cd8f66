/**
 * `luksfuse benchmark`: how fast this machine ciphers, on one thread, and what a passphrase costs here.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { BENCHMARK_CIPHERS, benchmarkCipher, type CipherSpeed } from '../crypto/benchmark.js';
import { availableMemoryKiB } from '../crypto/free-memory.js';
import { benchmarkPbkdf2, chooseKdf, DEFAULT_ITER_TIME_MS } from '../crypto/kdf-choice.js';
import { LuksError } from '../errors.js';
import { wholeNumber } from './credential-options.js';
import { addJsonOption, type JsonOption, print, printResult } from './output.js';

const SECTOR_SIZES_BYTES = [512, 4096];

const PBKDF2_HASHES = ['sha1', 'sha256', 'sha512', 'ripemd160'];
const KDF_KEY_BYTES = 32;

interface BenchmarkOptions extends JsonOption {
  cipher?: string;
  keySize: number;
  sectorSize?: number;
}

interface KdfCost {
  kdf: string;
  /** PBKDF2 iterations a second. */
  iterationsPerSecond?: number;
  /** Argon2's cost for an unlock of `iterTimeMs`. */
  time?: number;
  memoryKiB?: number;
  threads?: number;
  iterTimeMs?: number;
}

/** Null for what this machine has not: the rest can be measured. */
async function orNull<T>(measure: () => T | Promise<T>): Promise<T | null> {
  try {
    return await measure();
  } catch (error) {
    if (error instanceof LuksError && error.code === 'UNSUPPORTED') return null;
    throw error;
  }
}

async function measureKdfs(): Promise<KdfCost[]> {
  const costs: KdfCost[] = [];
  for (const hash of PBKDF2_HASHES) {
    costs.push({
      kdf: `pbkdf2-${hash}`,
      iterationsPerSecond: await benchmarkPbkdf2(hash, KDF_KEY_BYTES, 1000),
    });
  }
  for (const type of ['argon2i', 'argon2id'] as const) {
    const kdf = await orNull(() => chooseKdf({ type, hash: 'sha256' }, KDF_KEY_BYTES));
    if (kdf === null || kdf.type === 'pbkdf2') continue;
    const { time, memoryKiB, cpus: threads } = kdf;
    costs.push({ kdf: type, time, memoryKiB, threads, iterTimeMs: DEFAULT_ITER_TIME_MS });
  }
  return costs;
}

function kdfText({ kdf, iterationsPerSecond, time, memoryKiB, threads }: KdfCost): string {
  const name = kdf.padEnd(18);
  return iterationsPerSecond === undefined
    ? `${name}${time} passes, ${memoryKiB} KiB, ${threads} threads in ${DEFAULT_ITER_TIME_MS / 1000} s`
    : `${name}${iterationsPerSecond.toLocaleString('en')} iterations/s`;
}

const HEADING = `${'cipher'.padEnd(32)}  key  sector  encrypt MiB/s  decrypt MiB/s  engine`;

function cipherText(speed: CipherSpeed): string {
  return [
    speed.spec.padEnd(32),
    String(speed.keyBits).padStart(5),
    String(speed.sectorSizeBytes).padStart(8),
    speed.encryptMiBps.toFixed(0).padStart(15),
    `${speed.decryptMiBps.toFixed(0).padStart(15)}  `,
    speed.engine,
  ].join('');
}

async function benchmark(options: BenchmarkOptions): Promise<void> {
  const chosen = options.cipher ? [{ spec: options.cipher, keyBits: options.keySize }] : BENCHMARK_CIPHERS;
  const sectorSizes = options.sectorSize ? [options.sectorSize] : SECTOR_SIZES_BYTES;
  const show = (text: string) => {
    if (!options.json) print(text);
  };
  const kdfs = options.cipher ? [] : await measureKdfs();
  for (const kdf of kdfs) show(kdfText(kdf));
  show(HEADING);
  const ciphers: CipherSpeed[] = [];
  for (const { spec, keyBits } of chosen) {
    for (const sectorSizeBytes of sectorSizes) {
      const measure = () => benchmarkCipher(spec, keyBits, sectorSizeBytes);
      const speed = options.cipher ? measure() : await orNull(measure);
      if (speed === null) continue;
      ciphers.push(speed);
      show(cipherText(speed));
    }
  }
  printResult(options, { kdfs, ciphers, memoryAvailableKiB: availableMemoryKiB() }, '');
}

/** A whole number of bytes, in bits. */
function keyBits(text: string): number {
  const bits = wholeNumber(text);
  if (bits === 0 || bits % 8 !== 0) throw new InvalidArgumentError('It must be a multiple of 8.');
  return bits;
}

export function addBenchmarkCommand(program: Command): void {
  addJsonOption(program.command('benchmark'))
    .description('how fast ciphers and key derivation are on this machine')
    .option('-c, --cipher <spec>', 'only this one, such as serpent-cbc-essiv:sha256')
    .option('-s, --key-size <bits>', 'its key size', keyBits, 512)
    .option('--sector-size <bytes>', 'only this one; 512 and 4096 without', wholeNumber)
    .action(benchmark);
}
