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

/** Returns what was given up for it. */
async function recoverStep(payload: string, options: RepairOptions): Promise<Extent[]> {
  const headerPath =
    options.header !== undefined && !isSameFile(options.header, payload) ? options.header : undefined;
  let lost: Extent[] = [];
  const admit = ({ pieces }: LostData) => {
    lost = lostExtents(pieces);
    const what =
      `of the plaintext, ${describeExtents(lost, Number.POSITIVE_INFINITY)} are lost: neither in their old form nor in ` +
      'their new one';
    if (!options.force) {
      throw new LuksError(
        'DEVICE_IO',
        `${what}; put them back from a backup of the payload, or give them up with --force, so that the reencryption can ` +
          'go on',
      );
    }
    confirm(
      `${what[0]!.toUpperCase()}${what.slice(1)}. They stay as they are, noise, and count as done`,
      options,
    );
  };
  await withDevices(payload, headerPath, (devices) =>
    withKey({ device: devices.device, header: readHeader(devices.device) }, options, (unlock) =>
      recoverInterrupted(devices, unlock, admit),
    ),
  );
  return lost;
}

async function repair(argument: string, options: RepairOptions): Promise<void> {
  const { repairs, header } = await repairMetadata(argument, options);
  const path = options.header ?? argument;
  const document = { header: path, repairs };
  const text = () => (repairs.length === 0 ? 'Nothing to repair.' : repairs.join('\n'));
  const payload = isInterrupted(header) ? findPayload(argument, options, header) : null;
  if (payload === null) {
    announceResult(options, document, text());
    if (isInterrupted(header)) {
      warn(`a reencryption was interrupted; to recover that too: luksfuse repair --header ${path} <payload>`);
    }
    return;
  }
  let lost: Extent[];
  try {
    lost = await recoverStep(payload, options);
  } catch (error) {
    if (repairs.length > 0) tell(text());
    throw error;
  }
  repairs.push('the interrupted step of the reencryption');
  announceResult(options, { ...document, lost }, text());
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
