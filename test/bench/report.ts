/**
 * Figures as a table, with the machine and the versions they were taken on.
 */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { PROJECT_DIR } from '../kit/luksfuse.js';

export interface Row {
  what: string;
  peer: string;
  ours: string;
  /** Empty where there is none to compare with. */
  ratio: string;
  target: string;
  /** Null where there is no target. */
  isMet: boolean | null;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function firstLine(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', cwd: PROJECT_DIR }).split('\n')[0]!.trim();
}

function describeMachine(): string[] {
  const cpus = os.cpus();
  const memoryGiB = Math.round(os.totalmem() / 1024 ** 3);
  return [
    `- ${new Date().toISOString().slice(0, 10)}, commit ${firstLine('git', ['rev-parse', '--short', 'HEAD'])}`,
    `- ${cpus.length} × ${cpus[0]?.model.trim() ?? 'unknown CPU'}, ${memoryGiB} GiB, Linux ${os.release()}`,
    `- Node ${process.version}, ${firstLine('qemu-storage-daemon', ['--version'])}, ` +
      `${firstLine('cryptsetup', ['--version'])}, ${firstLine('fio', ['--version'])}`,
  ];
}

const HEAD = ['| | peer | luksfuse | ratio | target | met |', '|---|---:|---:|---:|---:|---|'];

/** The report as Markdown. */
export function renderReport(rows: readonly Row[], notes: readonly string[]): string {
  const met = { true: 'yes', false: '**no**', null: '' };
  const lines = rows.map(({ what, peer, ours, ratio, target, isMet }) => {
    return `| ${[what, peer, ours, ratio, target, met[`${isMet}`]].join(' | ')} |`;
  });
  return [...describeMachine(), '', ...HEAD, ...lines, '', ...notes.map((note) => `- ${note}`), ''].join(
    '\n',
  );
}
