/**
 * `luksfuse umount` and `luksfuse upgrade`.
 */
import type { Command } from 'commander';
import { type UnmountOptions, unmountVolume } from '../mount/unmount.js';
import { upgradeMount } from '../mount/upgrade.js';
import { addJsonOption, announceResult, type JsonOption, warn } from './output.js';

export function addUmountCommands(program: Command): void {
  program
    .command('umount <mountpoint>')
    .alias('close')
    .description('unmount; returns when the payload is synced and closed')
    .option('-l, --lazy', 'detach it now, even while the file is in use')
    .action(async (mountpoint: string, options: UnmountOptions) => {
      const note = await unmountVolume(mountpoint, options);
      if (note) warn(note);
    });

  addJsonOption(program.command('upgrade <mountpoint>'))
    .description('serve the mount by the version that is installed now, without unmounting')
    .action(async (mountpoint: string, options: JsonOption) => {
      announceResult(options, await upgradeMount(mountpoint), '');
    });
}
