/**
 * `luksfuse mount`.
 */
import path from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { destroyKeys } from '../crypto/secret.js';
import type { MountInfo } from '../mount/control.js';
import { startDaemon } from '../mount/daemon.js';
import { chooseDriver, DRIVERS, type Driver } from '../mount/driver.js';
import { isFileName } from '../mount/mount-session.js';
import { requireFreeMountpoint } from '../mount/mountpoint.js';
import { serveVolume } from '../mount/serve.js';
import { labelsOf, type ServeOptions } from '../mount/serve-options.js';
import { unmountOnSignals } from '../mount/signals.js';
import { type LocatedVolume, locateVolume } from '../volume/locate.js';
import { Volume } from '../volume/volume.js';
import { unlockVolumeWith } from './credential.js';
import { addCredentialOptions, type CredentialOptions, wholeNumber } from './credential-options.js';
import { addHeaderOptions, openHeader } from './header.js';
import { announceResult, tell, warn } from './output.js';
import { addPairingOptions, admitPairing, type PairingOptions } from './pairing.js';

interface MountCommandOptions extends CredentialOptions, PairingOptions {
  readOnly?: boolean;
  foreground?: boolean;
  supervise: boolean;
  name: string;
  offset: number;
  size?: number;
  allowOther?: boolean;
  allowRoot?: boolean;
  allowDiscards?: boolean;
  uid: number;
  gid: number;
  mode: number;
  workers?: number;
  pidFile?: string;
  idleUnmount?: number;
  driver: Driver | 'auto';
  cache: 'auto' | 'none' | 'writeback';
  quiet?: boolean;
  json?: boolean;
}

function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('It must not be empty.');
  return text;
}

/** Also parts of one, `0.5`. */
function minutes(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1e6)) throw new InvalidArgumentError('It must be a number of minutes above 0.');
  return value;
}

function octalMode(text: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw new InvalidArgumentError('It must be octal, like 0600.');
  return Number.parseInt(text, 8);
}

function fileName(text: string): string {
  if (!isFileName(text)) throw new InvalidArgumentError('It must be the name of one file, in UTF-8.');
  return text;
}

function serveOptions(
  located: LocatedVolume,
  mountpoint: string,
  driver: Driver,
  options: MountCommandOptions,
): ServeOptions {
  const { name: fileName, uid, gid, mode, cache, allowOther = false, allowRoot = false, workers } = options;
  return {
    driver,
    session: {
      ...{ mountpoint, fileName, uid, gid, mode, cache, allowOther, allowRoot },
      ...(workers !== undefined && { workerCount: workers }),
    },
    labels: labelsOf(located),
    ...(options.pidFile !== undefined && { pidFile: path.resolve(options.pidFile) }),
    ...(options.idleUnmount !== undefined && { idleMinutes: options.idleUnmount }),
    // One in the foreground has a person or a service manager behind it.
    isSupervised: options.supervise && !options.foreground,
  };
}

async function serveInForeground(
  volume: Volume,
  options: ServeOptions,
  announce: (info: MountInfo) => void,
): Promise<void> {
  const serving = serveVolume(volume, options);
  unmountOnSignals(serving, (error) =>
    tell(`luksfuse: ${error.message}; waiting for it; interrupt again to detach it all the same`),
  );
  const served = await serving;
  announce(served.info);
  await served.closed;
}

async function mount(
  payloadPath: string,
  mountpointPath: string,
  options: MountCommandOptions,
): Promise<void> {
  const mountpoint = await requireFreeMountpoint(mountpointPath);
  const { cache, workers: workerCount, allowDiscards } = options;
  const driver = await chooseDriver(options.driver, mountpoint, { cache, workerCount, allowDiscards });
  const located = locateVolume(payloadPath, {
    headerDevice: await openHeader(options),
    allowNullCipher: options.allowNullCipher,
    allowDiscards,
    isReadOnly: options.readOnly,
    window: { offsetBytes: options.offset, sizeBytes: options.size },
  });
  const announce = (info: MountInfo) => {
    announceResult(options, info, options.quiet ? '' : info.file);
    for (const warning of info.warnings ?? []) warn(warning);
  };
  try {
    const keys = await unlockVolumeWith(located, options);
    try {
      await admitPairing(located, keys, options);
      const served = serveOptions(located, mountpoint.path, driver, options);
      if (options.foreground) {
        const volume = Volume.create(located.payload, located.layout, keys);
        await serveInForeground(volume, served, announce);
      } else {
        announce(await startDaemon(located, keys, served));
      }
    } finally {
      destroyKeys(keys);
    }
  } finally {
    located.device.close();
    located.payload.close();
  }
}

export function addMountCommand(program: Command): void {
  const mountCommand = program
    .command('mount <payload> <mountpoint>')
    .alias('open')
    .description('unlock, present the plaintext as one file, print its path')
    .option('-r, --read-only', 'refuse writes')
    .option('-f, --foreground', 'stay in the foreground; SIGINT and SIGTERM unmount');
  addPairingOptions(addCredentialOptions(addHeaderOptions(mountCommand)))
    .option(
      '--name <name>',
      'name of the plaintext file where the mountpoint is a directory',
      fileName,
      'payload',
    )
    .option('--offset <bytes>', 'present the plaintext from here on', wholeNumber, 0)
    .option('--size <bytes>', 'present so many bytes of it', wholeNumber)
    .option('--allow-other', 'let other users reach the file, as its mode says')
    .addOption(
      new Option('--allow-root', 'let root, and no other user, reach the file').conflicts('allowOther'),
    )
    .option('--allow-discards', 'let holes be punched: the payload then shows where the volume is empty')
    .option('--uid <n>', 'owner of the file', wholeNumber, process.getuid?.() ?? 0)
    .option('--gid <n>', 'group of the file', wholeNumber, process.getgid?.() ?? 0)
    .addOption(
      new Option('--mode <octal>', 'permissions of the file').argParser(octalMode).default(0o600, '0600'),
    )
    .addOption(
      new Option('--driver <driver>', 'what speaks to the kernel; auto takes dev-fuse where it can work')
        .choices(['auto', ...DRIVERS])
        .default('auto'),
    )
    .option('--workers <n>', 'serve with exactly so many threads', wholeNumber)
    .addOption(
      new Option(
        '--cache <policy>',
        'page cache: auto writes through, none bypasses it, writeback delays writes',
      )
        .choices(['auto', 'none', 'writeback'])
        .default('auto'),
    )
    .option('--pid-file <file>', 'where the process id of the daemon is written', nonEmpty)
    .option('--idle-unmount <minutes>', 'unmount after so long without use', minutes)
    .option('--no-supervise', 'let the mount end with the process that serves it')
    .option('-o <list>', 'the same as options of mount(8): ro,header=FILE,key_file=FILE')
    .option('-q, --quiet', 'do not print the path')
    .option('--json', 'print one JSON document')
    .action(mount);
}
