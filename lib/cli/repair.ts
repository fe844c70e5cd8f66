/**
 * `luksfuse repair`: a damaged header, and the step of a reencryption that was interrupted.
 */
import type { Command } from 'commander';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import { type LuksHeader, volumeSegments } from '../format/model.js';
import { repairHeader } from '../format/repair.js';
import { isSameFile } from '../volume/header-file.js';
import { describeExtents, type LostData, lostExtents } from '../volume/lost-data.js';
import type { Extent } from '../volume/reencrypt-parts.js';
import { isInterrupted, recoverInterrupted } from '../volume/reencrypt-recover.js';
import { type BatchOption, confirm } from './ask.js';
import { withKey } from './credential.js';
import { addCredentialOptions, type CredentialOptions } from './credential-options.js';
import { withHeaderDevice } from './header-option.js';
import { addJsonOption, announceResult, type JsonOption, tell, warn } from './output.js';
import { withDevices } from './reencrypt-run.js';

interface RepairOptions extends CredentialOptions, JsonOption, BatchOption {
  force?: boolean;
}

interface Repaired {
  /** For people. */
  repairs: string[];
  header: LuksHeader;
}

async function repairMetadata(argument: string, options: RepairOptions): Promise<Repaired> {
  let repaired: Repaired | null = null;
  await withHeaderDevice(argument, options, async (device) => {
    confirm(`The header of ${device.path} will be repaired where it can be`, options);
    const repairs = await repairHeader(device, { force: options.force ?? false });
    repaired = { repairs, header: readHeader(device) };
  });
  return repaired!;
}

/** The payload, if the command line names it; else null. */
function findPayload(argument: string, { header: path }: RepairOptions, header: LuksHeader): string | null {
  if (path !== undefined && !isSameFile(path, argument)) return argument;
  const isAttached = volumeSegments(header).every(({ offsetBytes }) => offsetBytes >= header.headerSizeBytes);
  return isAttached ? argument : null;
}

/** Throws unless what is lost may be given up. */
function admitLoss(lost: readonly Extent[], options: RepairOptions): void {
  const extents = describeExtents(lost, Number.POSITIVE_INFINITY);
  if (options.force) {
    confirm(
      `Of the plaintext, ${extents} are lost; they stay as they are, noise, and count as done`,
      options,
    );
    return;
  }
  throw new LuksError(
    'DEVICE_IO',
    `of the plaintext, ${extents} are lost: neither in their old form nor in their new one; put them back from a backup ` +
      'of the payload, or give them up with --force, so that the reencryption can go on',
  );
}

/** Returns what was given up for it, null where no step is to be recovered or nobody said on which payload. */
async function recoverStep(
  argument: string,
  header: LuksHeader,
  options: RepairOptions,
): Promise<Extent[] | null> {
  if (!isInterrupted(header)) return null;
  const payload = findPayload(argument, options, header);
  if (payload === null) {
    const path = options.header ?? argument;
    warn(`a reencryption was interrupted; to recover that too: luksfuse repair --header ${path} <payload>`);
    return null;
  }
  let lost: Extent[] = [];
  const admit = ({ pieces }: LostData) => {
    lost = lostExtents(pieces);
    admitLoss(lost, options);
  };
  const isAttached = options.header === undefined || isSameFile(options.header, payload);
  await withDevices(payload, isAttached ? undefined : options.header, (devices) =>
    withKey({ device: devices.device, header: readHeader(devices.device) }, options, (unlock) =>
      recoverInterrupted(devices, unlock, admit),
    ),
  );
  return lost;
}

async function repair(argument: string, options: RepairOptions): Promise<void> {
  const { repairs, header } = await repairMetadata(argument, options);
  let lost: Extent[] | null;
  try {
    lost = await recoverStep(argument, header, options);
  } catch (error) {
    if (!options.json) for (const repaired of repairs) tell(repaired);
    throw error;
  }
  const all = lost ? [...repairs, 'the interrupted step of the reencryption'] : repairs;
  const document = { header: options.header ?? argument, repairs: all, ...(lost && { lost }) };
  announceResult(options, document, all.length === 0 ? 'Nothing to repair.' : all.join('\n'));
}

export function addRepairCommand(program: Command): void {
  const command = program
    .command('repair <header>')
    .description('put right what can be put right; recover an interrupted step of a reencryption')
    .option(
      '--header <file>',
      'the detached header; the argument is the payload then, whose data is recovered',
    )
    .option(
      '--force',
      'overwrite what looks like something else in the place of a copy; give up data that is lost',
    )
    .option('-q, --batch-mode', 'do not ask');
  addCredentialOptions(addJsonOption(command)).action(repair);
}
