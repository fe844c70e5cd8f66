/**
 * The workloads, as fio jobs with direct I/O.
 */
import { mustRun } from '../kit/run.js';

export interface Workload {
  name: string;
  rw: 'read' | 'write' | 'randread' | 'randwrite';
  blockBytes: number;
  queueDepth: number;
  unit: 'MiB/s' | 'IOPS';
  /** How many times the peer's figure ours must be, and which share of our own without a cipher. */
  targets: { peer: number | null; ceiling: number | null };
}

const KiB = 1024;
const sequential = { blockBytes: 1024 * KiB, unit: 'MiB/s', targets: { peer: 6, ceiling: 0.5 } } as const;
const random = {
  blockBytes: 4 * KiB,
  queueDepth: 32,
  unit: 'IOPS',
  targets: { peer: 5, ceiling: 0.85 },
} as const;
const single = {
  blockBytes: 4 * KiB,
  queueDepth: 1,
  unit: 'IOPS',
  targets: { peer: 1.5, ceiling: null },
} as const;

export const WORKLOADS: readonly Workload[] = [
  { name: '1M sequential read, QD8', rw: 'read', queueDepth: 8, ...sequential },
  { name: '1M sequential write, QD4', rw: 'write', queueDepth: 4, ...sequential },
  { name: '4k random read, QD32', rw: 'randread', ...random },
  { name: '4k random write, QD32', rw: 'randwrite', ...random },
  { name: '4k random read, QD1', rw: 'randread', ...single },
  { name: '4k random write, QD1', rw: 'randwrite', ...single },
];

interface FioReport {
  jobs: { read: { bw_bytes: number; iops: number }; write: { bw_bytes: number; iops: number } }[];
}

/** Runs the workload on `file` for `seconds`; returns the figure in the workload's unit. */
export async function runWorkload(file: string, workload: Workload, seconds: number): Promise<number> {
  const { rw, blockBytes, queueDepth, unit } = workload;
  const settings = {
    name: 'bench',
    filename: file,
    rw,
    bs: `${blockBytes}`,
    iodepth: `${queueDepth}`,
    direct: '1',
    ioengine: 'libaio',
    runtime: `${seconds}`,
    overwrite: '1',
    fallocate: 'none',
    'output-format': 'json',
  };
  const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  const { stdout } = await mustRun('fio', [...args, '--time_based'], { timeoutMs: (seconds + 60) * 1000 });
  const text = stdout.toString();
  const job = (JSON.parse(text.slice(text.indexOf('{'))) as FioReport).jobs[0]!;
  const side = rw.endsWith('read') ? job.read : job.write;
  return unit === 'IOPS' ? side.iops : side.bw_bytes / (KiB * KiB);
}
