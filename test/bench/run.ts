/**
 * Compares our mount with QEMU's storage daemon on the same LUKS1 image in memory, our own path without a cipher, the
 * ciphers with OpenSSL's, and the time to unlock with cryptsetup's. Rounds are interleaved and medians are reported.
 * .ci/setup installs what it needs; what a machine lacks is left out, with the reason. Whatever ends it, nothing is left.
 *
 * node dist/test/bench/run.js [--rounds N] [--seconds N] [--write]
 *
 * --write also keeps the report in test/bench/RESULTS.md. The exit code does not depend on the figures.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { PROJECT_DIR } from '../kit/luksfuse.js';
import { createImage } from '../kit/qemu.js';
import { type Requirements, skipUnless } from '../kit/requirements.js';
import { TEMP_PREFIX } from '../kit/temp.js';
import { cipherRows } from './cipher-rows.js';
import { type Contestant, startLuksfuse, startQemu } from './contestants.js';
import { runWorkload, WORKLOADS, type Workload } from './fio.js';
import { leaveNothing } from './leave-nothing.js';
import { startNullMount } from './null-mount.js';
import { onlineRow } from './online.js';
import { qemuRows } from './qemu-bench.js';
import { reencryptRows } from './reencrypt.js';
import { median, type Row, renderReport } from './report.js';
import { nbdkitRow, storeRow } from './slow-payload.js';
import { timeUnlocks } from './unlock.js';

const GiB = 1024 ** 3;
const IMAGE_BYTES = GiB;
/** As startLuksfuse names it. */
const OURS = 'luksfuse';
const REENCRYPT_BYTES = 4 * GiB;
const MAX_UNLOCK_RATIO = 1.1;
const MAX_RSS_MIB = 120;
const RESULTS = path.join(PROJECT_DIR, 'test/bench/RESULTS.md');
const RESULTS_HEAD = '# Bench results\n\nWritten by `npm run bench -- --write`.\n\n';

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Figures of each contestant for each workload, one per round. */
type Figures = Map<Workload, Map<Contestant, number[]>>;

async function compare(
  contestants: readonly Contestant[],
  rounds: number,
  seconds: number,
): Promise<Figures> {
  const figures: Figures = new Map(WORKLOADS.map((workload) => [workload, new Map()]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const workload of WORKLOADS) {
      for (const contestant of contestants) {
        const figure = await runWorkload(contestant.file, workload, seconds);
        say(`round ${round}: ${workload.name}: ${contestant.name}: ${figure.toFixed(0)} ${workload.unit}`);
        const series = figures.get(workload)!;
        series.set(contestant, [...(series.get(contestant) ?? []), figure]);
      }
    }
  }
  return figures;
}

/** A figure of ours beside another one, held against the least that it must be. */
function comparison(
  what: string,
  other: { name: string; figure: number },
  own: number,
  unit: Workload['unit'],
  target: number | null,
): Row {
  const ratio = own / other.figure;
  return {
    what,
    peer: `${other.name}: ${other.figure.toFixed(0)} ${unit}`,
    ours: own.toFixed(0),
    ratio: `${ratio.toFixed(2)}×`,
    target: target === null ? '' : `≥ ${target}×`,
    isMet: target === null ? null : ratio >= target,
  };
}

/** `ours` beside `other`, for every workload. */
function comparisons(
  figures: Figures,
  ours: Contestant,
  other: Contestant,
  target: (workload: Workload) => number | null,
): Row[] {
  return [...figures].map(([workload, series]) => {
    const [own, theirs] = [ours, other].map((one) => median(series.get(one)!)) as [number, number];
    const what = ours.name === OURS ? workload.name : `${workload.name}, ${ours.name}`;
    return comparison(what, { name: other.name, figure: theirs }, own, workload.unit, target(workload));
  });
}

async function unlockRow(dir: string, rounds: number): Promise<Row> {
  const times = await timeUnlocks(dir, rounds);
  const theirs = median(times.map((time) => time.cryptsetup));
  const start = median(times.map((time) => time.nodeStart));
  const own = median(times.map((time) => time.luksfuse)) - start;
  return {
    what: 'unlock, argon2id 1 GiB t=4 p=4',
    peer: `${theirs.toFixed(0)} ms`,
    ours: `${own.toFixed(0)} ms (and ${start.toFixed(0)} ms for Node to start)`,
    ratio: `${(own / theirs).toFixed(2)}×`,
    target: `≤ ${MAX_UNLOCK_RATIO}×`,
    isMet: own / theirs <= MAX_UNLOCK_RATIO,
  };
}

function memoryRow(peer: Contestant, twoWorkers: Contestant): Row {
  const peak = twoWorkers.peakRssMiB();
  return {
    what: 'peak RSS of the daemon, 2 workers',
    peer: `${peer.peakRssMiB().toFixed(0)} MiB`,
    ours: `${peak.toFixed(0)} MiB`,
    ratio: '',
    target: `≤ ${MAX_RSS_MIB} MiB`,
    isMet: peak <= MAX_RSS_MIB,
  };
}

/** Whether the machine has what a part needs; says why not. */
function canHave(what: string, needs: Requirements): boolean {
  const lack = skipUnless(needs);
  if (lack) say(`left out: ${what}: ${lack}; .ci/setup installs it`);
  return !lack;
}

/** Starts the contestants on copies of one image, runs everything, and stops them. */
async function bench(dir: string, rounds: number, seconds: number): Promise<Row[]> {
  const keyFile = path.join(dir, 'key');
  const image = (name: string) => path.join(dir, `${name}.image`);
  fs.writeFileSync(keyFile, 'bench');
  await createImage(image('peer'), keyFile, { sizeBytes: IMAGE_BYTES });
  for (const name of ['ours', 'small', 'ceiling', 'native', 'slow', 'driver'])
    fs.copyFileSync(image('peer'), image(name));

  const running: Contestant[] = [];
  const started = async (start: Promise<Contestant>) => {
    const contestant = await start;
    running.push(contestant);
    return contestant;
  };
  const peer = await started(startQemu(dir, image('peer'), keyFile));
  const ours = await started(startLuksfuse(dir, image('ours'), keyFile));
  const ceiling = await started(startNullMount(dir, image('ceiling')));
  const nativeArgs = ['--driver', 'fuse-native'];
  const native = canHave('driver fuse-native', { fuseNative: true })
    ? await started(startLuksfuse(dir, image('native'), keyFile, nativeArgs, 'driver fuse-native'))
    : null;
  // The first writes to a file in memory allocate it; that is nobody's speed.
  for (const one of running) await runWorkload(one.file, WORKLOADS[1]!, 3);
  const figures = await compare(running, rounds, seconds);
  const rows = [
    ...comparisons(figures, ours, peer, ({ targets }) => targets.peer),
    ...comparisons(figures, ours, ceiling, ({ targets }) => targets.ceiling),
    ...(native ? comparisons(figures, native, ours, () => null) : []),
    await storeRow(dir, image('slow'), seconds),
  ];
  if (canHave('ciphers', { tools: ['openssl'] })) rows.push(...cipherRows(rounds));
  if (canHave('a slow payload', { tools: ['nbdkit', 'nbdfuse'] }))
    rows.push(await nbdkitRow(dir, image('slow'), keyFile, seconds));
  if (canHave('qemu-io', { tools: ['qemu-io'] }))
    rows.push(...(await qemuRows(ours.file, image('driver'), keyFile, rounds)));
  const twoWorkers = await started(startLuksfuse(dir, image('small'), keyFile, ['--workers', '2']));
  for (const workload of WORKLOADS) await runWorkload(twoWorkers.file, workload, seconds);
  rows.push(memoryRow(peer, twoWorkers));
  for (const one of running.reverse()) await one.stop();
  return rows;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    write: { type: 'boolean', default: false },
  },
});
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
const memoryRoot = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
const dir = fs.mkdtempSync(path.join(memoryRoot, `${TEMP_PREFIX}${process.pid}-`));
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, async () => {
    await leaveNothing(dir);
    process.exit(status);
  });
}
try {
  const rows: Row[] = [];
  if (canHave('mounts', { fuse: true, tools: ['fio', 'qemu-img', 'qemu-storage-daemon'] }))
    rows.push(...(await bench(dir, rounds, seconds)));
  if (canHave('cryptsetup', { tools: ['cryptsetup'] })) {
    rows.push(await unlockRow(dir, rounds), ...(await reencryptRows(dir, rounds, REENCRYPT_BYTES)));
    if (canHave('a reader online', { fuse: true, tools: ['fio'] }))
      rows.push(await onlineRow(dir, rounds, seconds, REENCRYPT_BYTES));
  }
  const notes = [
    `LUKS1, aes-256-xts, 512-byte sectors, a ${IMAGE_BYTES / GiB} GiB image in ${memoryRoot}; fio, direct, libaio, ` +
      `${seconds} s a run, ${rounds} interleaved rounds, medians.`,
    'Peers: the FUSE export of qemu-storage-daemon; our own mount without a cipher; `openssl speed` with messages of one ' +
      'sector; for qemu-io, its luks driver on the image, both direct; for the unlock, `cryptsetup open --test-passphrase`.',
  ];
  const report = renderReport(rows, notes);
  process.stdout.write(report);
  if (values.write) fs.writeFileSync(RESULTS, `${RESULTS_HEAD}${report}`);
} finally {
  await leaveNothing(dir);
}
