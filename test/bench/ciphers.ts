/**
 * All sector ciphers over every engine, beside `openssl speed` of the same minute: MiB/s on one thread, 64 KiB requests, in place.
 * Run with `node dist/test/bench/ciphers.js [spec-prefix]`.
 */
import { BENCHMARK_CIPHERS, benchmarkCipher, type CipherSpeed } from '../../lib/crypto/benchmark.js';
import type { EngineName } from '../../lib/crypto/sector-cipher.js';
import { opensslMiBps } from './openssl-speed.js';

const ENGINES: EngineName[] = ['gcrypt-ffi', 'openssl-ffi', 'node-crypto', 'wasm'];

/** What `openssl speed` calls the same, where it has it. */
const PEERS: ReadonlyMap<string, string> = new Map([
  ['aes-xts-plain64 512', 'aes-256-xts'],
  ['aes-xts-plain64 256', 'aes-128-xts'],
  ['aes-cbc-essiv:sha256 256', 'aes-256-cbc'],
  ['aes-ctr-plain64 256', 'aes-256-ctr'],
]);

function column(value: number, peer: number | null): string {
  const share = peer ? ` ${(value / peer).toFixed(2)}` : '     ';
  return `${value.toFixed(0).padStart(7)}${share}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The speed, or null where this engine has no such cipher. */
function tryBenchmark(spec: string, keyBits: number, sector: number, engine: EngineName): CipherSpeed | null {
  try {
    return benchmarkCipher(spec, keyBits, sector, { engine });
  } catch {
    return null;
  }
}

print('MiB/s, and the share of openssl speed with messages of the sector size');
print(`${'spec'.padEnd(30)} bits sector ${'engine'.padEnd(12)} encrypt       decrypt      openssl enc, dec`);
for (const { spec, keyBits } of BENCHMARK_CIPHERS) {
  if (!spec.startsWith(process.argv[2] ?? '')) continue;
  const peer = PEERS.get(`${spec} ${keyBits}`);
  for (const sector of [512, 4096]) {
    const peerEncrypt = peer ? opensslMiBps(peer, sector, false) : null;
    const peerDecrypt = peer ? opensslMiBps(peer, sector, true) : null;
    for (const engine of ENGINES) {
      const speed = tryBenchmark(spec, keyBits, sector, engine);
      if (!speed) continue;
      const encrypt = column(speed.encryptMiBps, peerEncrypt);
      const decrypt = column(speed.decryptMiBps, peerDecrypt);
      const peers = peer ? `  ${Number(peerEncrypt).toFixed(0)} ${Number(peerDecrypt).toFixed(0)}` : '';
      print(
        `${spec.padEnd(30)} ${`${keyBits}`.padEnd(4)} ${`${sector}`.padEnd(6)} ${engine.padEnd(12)} ${encrypt}  ${decrypt}${peers}`,
      );
    }
  }
}
