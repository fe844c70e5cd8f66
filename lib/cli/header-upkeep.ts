/**
 * The commands that keep a header well: config, convert, header-backup, header-restore.
 */
import path from 'node:path';
import { type Command, Option } from 'commander';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { backupHeader, previewRestore, restoreHeader } from '../format/backup.js';
import { convertHeader } from '../format/convert.js';
import type { Priority } from '../format/model.js';
import { configure, type Settings } from '../format/settings.js';
import { type BatchOption, confirm } from './ask.js';
import { wholeNumber } from './credential-options.js';
import { addHeaderOption, type HeaderOption, withHeaderDevice } from './header-option.js';
import { addJsonOption, announceResult, type JsonOption } from './output.js';

type CommonOptions = HeaderOption & JsonOption;

const PRIORITIES: Readonly<Record<string, Priority>> = { ignore: 0, normal: 1, prefer: 2 };

interface ConfigOptions extends CommonOptions {
  keySlot?: number;
  priority?: string;
  label?: string;
  subsystem?: string;
  flag?: string[];
  clearFlags?: boolean;
}

function settingsOf(options: ConfigOptions): Settings {
  const { keySlot, priority, label, subsystem, flag, clearFlags } = options;
  if ((keySlot === undefined) !== (priority === undefined)) {
    throw new LuksError('BAD_ARGUMENT', '--priority and --key-slot belong together; give both');
  }
  if (flag && clearFlags) {
    throw new LuksError('BAD_ARGUMENT', '--flag and --clear-flags exclude each other; give one');
  }
  const settings: Settings = {
    ...(label !== undefined && { label }),
    ...(subsystem !== undefined && { subsystem }),
    ...((flag || clearFlags) && { flags: flag ?? [] }),
    ...(keySlot !== undefined && { priorities: [{ keyslot: keySlot, priority: PRIORITIES[priority!]! }] }),
  };
  if (Object.keys(settings).length > 0) return settings;
  throw new LuksError('BAD_ARGUMENT', 'nothing to change; give --label, --subsystem, --flag or --priority');
}

function config(argument: string, options: ConfigOptions): Promise<void> {
  const settings = settingsOf(options);
  return withHeaderDevice(argument, options, async (device) => {
    await configure(device, settings);
    const { keySlot: keyslot, priority } = options;
    const named = priority === undefined ? {} : { priorities: [{ keyslot, priority }] };
    announceResult(options, { header: device.path, ...settings, ...named }, '');
  });
}

function convert(argument: string, options: CommonOptions & BatchOption & { type: string }): Promise<void> {
  return withHeaderDevice(
    argument,
    options,
    async (device) => {
      confirm(`The header of ${device.path} will be converted to ${options.type}; back it up first`, options);
      await convertHeader(device, options.type === 'luks1' ? 1 : 2);
      announceResult(options, { header: device.path, type: options.type }, '');
    },
    { isDestructive: true },
  );
}

async function backup(argument: string, file: string | undefined, options: BackupOptions): Promise<void> {
  const target = requireBackupFile(file, options);
  const device = Device.open(options.header ?? argument, { isReadOnly: true });
  try {
    const { uuid } = await backupHeader(device, target);
    announceResult(options, { uuid, backup: target }, '');
  } finally {
    device.close();
  }
}

/** The second argument, or cryptsetup's --header-backup-file. */
function requireBackupFile(file: string | undefined, options: BackupOptions): string {
  const found = file ?? options.headerBackupFile;
  if (found !== undefined) return found;
  throw new LuksError('BAD_ARGUMENT', 'the backup file is missing; give it as the second argument');
}

interface BackupOptions extends CommonOptions {
  headerBackupFile?: string;
}

interface RestoreCommandOptions extends BackupOptions, BatchOption {
  force?: boolean;
}

/** Beside the backup, since the header's own place may be a device: `vault.backup.replaced-20261123T101500`. */
function replacedPath(backupPath: string): string {
  const stamp = new Date().toISOString().replace(/[-:]|\..*$/g, '');
  return path.resolve(`${backupPath}.replaced-${stamp}`);
}

function restore(argument: string, file: string | undefined, options: RestoreCommandOptions): Promise<void> {
  const backupPath = requireBackupFile(file, options);
  return withHeaderDevice(
    argument,
    options,
    async (device) => {
      const source = Device.open(backupPath, { isReadOnly: true });
      try {
        const { current, differences, objections } = previewRestore(device, source);
        if (objections.length > 0 && !options.force) {
          throw new LuksError('BAD_ARGUMENT', `${objections.join('; ')}; give --force if that is meant`);
        }
        const changes = differences.length === 0 ? 'nothing would change' : differences.join('\n  ');
        confirm(`The header of ${device.path} will be replaced by ${backupPath}:\n  ${changes}`, options);
        const keepReplacedAt = current ? replacedPath(backupPath) : undefined;
        await restoreHeader(device, source, {
          force: options.force ?? false,
          ...(keepReplacedAt !== undefined && { keepReplacedAt }),
        });
        const kept = keepReplacedAt ? `The replaced header is kept in ${keepReplacedAt}` : '';
        announceResult(options, { header: device.path, differences, replaced: keepReplacedAt ?? null }, kept);
      } finally {
        source.close();
      }
    },
    { isDestructive: true },
  );
}

export function addUpkeepCommands(program: Command): void {
  addJsonOption(addHeaderOption(program.command('config <header>')))
    .description('label, subsystem, flags, priority of a keyslot (LUKS2)')
    .option('--label <text>', 'a name, empty for none')
    .option('--subsystem <text>', 'a second name, empty for none')
    .option('--flag <name>', 'an activation flag, such as allow-discards; repeatable, replaces all', collect)
    .option('--clear-flags', 'no activation flags')
    .option('-S, --key-slot <n>', 'the keyslot that --priority is about', wholeNumber)
    .addOption(new Option('--priority <which>', 'in what order it is tried').choices(Object.keys(PRIORITIES)))
    .action(config);

  addJsonOption(addHeaderOption(program.command('convert <header>')))
    .description('make a LUKS1 header LUKS2, or the other way round')
    .addOption(
      new Option('--type <type>', 'what to make of it').choices(['luks1', 'luks2']).makeOptionMandatory(),
    )
    .option('-q, --batch-mode', 'do not ask')
    .action(convert);

  addJsonOption(addHeaderOption(program.command('header-backup <header> [file]').alias('luksHeaderBackup')))
    .description('copy the header to a new file')
    .option('--header-backup-file <file>', 'the same as the second argument')
    .action(backup);

  addJsonOption(addHeaderOption(program.command('header-restore <header> [file]').alias('luksHeaderRestore')))
    .description('replace the header by a backup; the old one is kept')
    .option('--header-backup-file <file>', 'the same as the second argument')
    .option('--force', 'also where the UUIDs differ')
    .option('-q, --batch-mode', 'do not ask')
    .action(restore);
}

function collect(value: string, earlier: string[] | undefined): string[] {
  return [...(earlier ?? []), value];
}
