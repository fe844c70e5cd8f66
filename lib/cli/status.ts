/**
 * `luksfuse list` and `luksfuse status`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { formatBytes } from '../bytes.js';
import { type Attachment, listAttachments } from '../mount/attachments.js';
import type { MountInfo } from '../mount/control.js';
import { listMounts, requireMountInfo } from '../mount/list.js';
import type { OnlineProgress } from '../volume/online.js';
import { addJsonOption, type JsonOption, print, printResult } from './output.js';

const WATCH_MS = 1000;

async function list(options: JsonOption): Promise<void> {
  const mounts = await listMounts();
  const lines = mounts.map((mount) =>
    'pid' in mount
      ? `${mount.mountpoint}  ${mount.payload}  ${formatBytes(mount.sizeBytes)}  ${mount.cipher}  pid ${mount.pid}`
      : `${mount.mountpoint}  (${mount.problem ?? 'no daemon answers'})`,
  );
  printResult(options, { mounts }, lines.join('\n'));
}

function supervision({ supervisorPid }: MountInfo): string {
  return supervisorPid === null ? 'not supervised' : `supervised by pid ${supervisorPid}`;
}

function reencryptionText({ state, doneBytes, totalBytes, ...running }: OnlineProgress): string {
  const percent = Math.floor((doneBytes / totalBytes) * 100);
  const far = `${state}, ${percent} %, ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  if (running.error !== null) return `${far}: ${running.error}`;
  if (running.bytesPerSecond === null) return far;
  const left = running.secondsLeft === null ? '' : `, ${running.secondsLeft} s left`;
  return `${far}, ${formatBytes(running.bytesPerSecond)}/s${left}`;
}

function statusText(info: MountInfo, attachments: readonly Attachment[]): string {
  const { activity } = info;
  const rows: [name: string, value: string | number][] = [
    ['file', info.file],
    ['payload', info.payload],
    ['header', info.header],
    ['UUID', info.uuid],
    [
      'size',
      `${info.sizeBytes} bytes (${formatBytes(info.sizeBytes)})${info.isReadOnly ? ', read-only' : ''}`,
    ],
    ['cipher', `${info.cipher}, sectors of ${info.sectorSize}, by ${info.engine}`],
    ['daemon', `pid ${info.pid}, ${info.driver}, ${activity.workers} workers, ${supervision(info)}`],
    ['requests', `${activity.requests}, ${activity.queueDepth} now, ${activity.errors} failed`],
    ['read', `${formatBytes(activity.readBytes)} in ${activity.reads} requests`],
    ['written', `${formatBytes(activity.writtenBytes)} in ${activity.writes} requests`],
  ];
  if (info.reencryption) rows.push([info.reencryption.mode, reencryptionText(info.reencryption)]);
  for (const warning of info.warnings ?? []) rows.push(['warning', warning]);
  for (const { id, monitor } of attachments)
    rows.push(['attached', `as ${id} to the VM at ${monitor.address}`]);
  return rows.map(([name, value]) => `${`${name}:`.padEnd(11)}${value}`).join('\n');
}

/** One line a second, until the mount is gone or the person has seen enough. */
async function watch(mountpoint: string, options: JsonOption): Promise<void> {
  let before = (await requireMountInfo(mountpoint)).activity;
  for (;;) {
    await delay(WATCH_MS);
    const info = await requireMountInfo(mountpoint);
    const { activity } = info;
    const perSecond = (now: number, then: number) => Math.round(((now - then) * 1000) / WATCH_MS);
    if (options.json) print(JSON.stringify(info));
    else {
      print(
        `${perSecond(activity.requests, before.requests)} requests/s, ${activity.queueDepth} now, ` +
          `read ${formatBytes(perSecond(activity.readBytes, before.readBytes))}/s, ` +
          `written ${formatBytes(perSecond(activity.writtenBytes, before.writtenBytes))}/s, ` +
          `${activity.workers} workers, ${activity.errors} failed`,
      );
    }
    before = activity;
  }
}

async function status(mountpoint: string, options: JsonOption & { watch?: boolean }): Promise<void> {
  if (options.watch) return watch(mountpoint, options);
  const info = await requireMountInfo(mountpoint);
  const attachments = listAttachments(info.mountpoint);
  printResult(options, { ...info, attachments }, statusText(info, attachments));
}

export function addStatusCommands(program: Command): void {
  addJsonOption(program.command('list')).description('the mounts of this user').action(list);
  addJsonOption(program.command('status <mountpoint>'))
    .description('what is mounted there, by whom, and how busy it is')
    .option('-w, --watch', 'a line a second')
    .action(status);
}
