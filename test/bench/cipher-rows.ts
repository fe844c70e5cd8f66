/**
 * The sector ciphers that have a target: as a share of what `openssl speed` does, or in MB/s where OpenSSL lacks them.
 */
import { benchmarkCipher } from '../../lib/crypto/benchmark.js';
import { opensslMiBps } from './openssl-speed.js';
import { median, type Row } from './report.js';

interface CipherTarget {
  spec: string;
  keyBits: number;
  sectorSizeBytes: number;
  direction: 'encrypt' | 'decrypt';
  /** The peer's name and the share of its speed that ours must reach, or a speed in MB/s. */
  target: { openssl: string; share: number } | { megabytesPerSecond: number };
}

const XTS = { spec: 'aes-xts-plain64', keyBits: 512 } as const;
const xts = { openssl: 'aes-256-xts' } as const;
const CBC = { spec: 'aes-cbc-essiv:sha256', keyBits: 256, direction: 'decrypt' } as const;
const cbc = { openssl: 'aes-256-cbc', share: 0.5 } as const;

function bothWays(target: Omit<CipherTarget, 'direction'>): CipherTarget[] {
  return (['encrypt', 'decrypt'] as const).map((direction) => ({ ...target, direction }));
}

const TARGETS: readonly CipherTarget[] = [
  ...bothWays({ ...XTS, sectorSizeBytes: 512, target: { ...xts, share: 0.55 } }),
  ...bothWays({ ...XTS, sectorSizeBytes: 4096, target: { ...xts, share: 0.7 } }),
  { ...CBC, sectorSizeBytes: 512, target: cbc },
  { ...CBC, sectorSizeBytes: 4096, target: cbc },
  ...bothWays({
    spec: 'serpent-xts-plain64',
    keyBits: 512,
    sectorSizeBytes: 512,
    target: { megabytesPerSecond: 250 },
  }),
  ...bothWays({
    spec: 'twofish-xts-plain64',
    keyBits: 512,
    sectorSizeBytes: 512,
    target: { megabytesPerSecond: 150 },
  }),
  ...bothWays({
    spec: 'xchacha20,aes-adiantum-plain64',
    keyBits: 256,
    sectorSizeBytes: 4096,
    target: { megabytesPerSecond: 300 },
  }),
];

/** MiB/s of both, once: ours, and the peer's where there is one. */
function measure({ spec, keyBits, sectorSizeBytes, direction, target }: CipherTarget): [number, number] {
  const peer =
    'openssl' in target ? opensslMiBps(target.openssl, sectorSizeBytes, direction === 'decrypt') : 0;
  const speed = benchmarkCipher(spec, keyBits, sectorSizeBytes);
  return [direction === 'encrypt' ? speed.encryptMiBps : speed.decryptMiBps, peer];
}

function toRow(cipher: CipherTarget, runs: readonly [number, number][]): Row {
  const { spec, sectorSizeBytes, direction, target } = cipher;
  const [ours, peer] = [median(runs.map(([own]) => own)), median(runs.map(([, other]) => other))];
  const what = `${spec} ${direction}, sectors of ${sectorSizeBytes}, one thread`;
  if ('openssl' in target) {
    return {
      what,
      peer: `openssl speed: ${peer.toFixed(0)} MiB/s`,
      ours: ours.toFixed(0),
      ratio: `${(ours / peer).toFixed(2)}×`,
      target: `≥ ${target.share}×`,
      isMet: ours / peer >= target.share,
    };
  }
  const megabytesPerSecond = (ours * 2 ** 20) / 1e6;
  return {
    what,
    peer: '',
    ours: `${megabytesPerSecond.toFixed(0)} MB/s`,
    ratio: '',
    target: `≥ ${target.megabytesPerSecond} MB/s`,
    isMet: megabytesPerSecond >= target.megabytesPerSecond,
  };
}

/** Rounds are interleaved: each cipher and its peer once, then all again. */
export function cipherRows(rounds: number): Row[] {
  const runs = new Map<CipherTarget, [number, number][]>(TARGETS.map((target) => [target, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [target, figures] of runs) figures.push(measure(target));
  }
  return [...runs].map(([target, figures]) => toRow(target, figures));
}
