/**
 * qemu-io on the mounted file against qemu-io through QEMU's own luks driver: what a VM has of either. `qemu-img
 * bench` takes no secret, and so no LUKS.
 */
import { imageOpts, secretArgs } from '../kit/qemu.js';
import { mustRun } from '../kit/run.js';
import { median, type Row } from './report.js';

const TARGET = 1.5;
const REQUEST_MIB = 16;
const REQUEST_COUNT = 48;
const WORKLOADS = ['read', 'write'] as const;

/** MiB/s over all requests, one after the other, by the time that qemu-io says each took. */
async function measure(what: (typeof WORKLOADS)[number], target: readonly string[]): Promise<number> {
  const requests = Array.from({ length: REQUEST_COUNT }, (_, index) => [
    '-c',
    `${what} ${index * REQUEST_MIB}M ${REQUEST_MIB}M`,
  ]);
  const { stdout } = await mustRun('qemu-io', ['-n', '-t', 'none', ...requests.flat(), ...target]);
  const times = [...stdout.toString().matchAll(/1 ops; ([\d.]+) sec/g)];
  const seconds = times.map(([, text]) => Number(text));
  if (seconds.length !== REQUEST_COUNT) throw new Error(`qemu-io: ${stdout}`);
  return (REQUEST_COUNT * REQUEST_MIB) / seconds.reduce((sum, one) => sum + one, 0);
}

/** @param file our plaintext; @param image a copy of the same LUKS1 image, that nobody else has open */
export async function qemuRows(file: string, image: string, keyFile: string, rounds: number): Promise<Row[]> {
  const ours = ['-f', 'raw', file];
  const theirs = [...secretArgs(keyFile), '--image-opts', imageOpts(image)];
  const rows: Row[] = [];
  for (const what of WORKLOADS) {
    const peers: number[] = [];
    const own: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      peers.push(await measure(what, theirs));
      own.push(await measure(what, ours));
    }
    const ratio = median(own) / median(peers);
    rows.push({
      what: `qemu-io, ${what} of ${REQUEST_MIB} MiB each`,
      peer: `${median(peers).toFixed(0)} MiB/s`,
      ours: median(own).toFixed(0),
      ratio: `${ratio.toFixed(2)}×`,
      target: `≥ ${TARGET}×`,
      isMet: ratio >= TARGET,
    });
  }
  return rows;
}
