/**
 * Where each command is, so that a call loads what it needs and not the whole program: reading some two hundred small
 * files takes node longer than most commands do.
 */
import type { Command } from 'commander';

type AddCommands = (program: Command) => void;

interface CommandGroup {
  /** The commands of the group and their aliases. One that is missing here works as well, only slower. */
  names: string;
  load(): Promise<AddCommands>;
}

/** In the order of --help. */
const GROUPS: readonly CommandGroup[] = [
  { names: 'mount open', load: async () => (await import('./mount.js')).addMountCommand },
  { names: 'umount close upgrade', load: async () => (await import('./umount.js')).addUmountCommands },
  { names: 'list status', load: async () => (await import('./status.js')).addStatusCommands },
  { names: 'attach detach', load: async () => (await import('./attach.js')).addAttachCommands },
  {
    names: 'dump luksDump test-key uuid luksUUID is-luks isLuks',
    load: async () => (await import('./inspect.js')).addInspectCommands,
  },
  { names: 'cat', load: async () => (await import('./cat.js')).addCatCommand },
  { names: 'write', load: async () => (await import('./write.js')).addWriteCommand },
  { names: 'format luksFormat', load: async () => (await import('./format.js')).addFormatCommand },
  {
    names:
      'add-key luksAddKey change-key luksChangeKey remove-key luksRemoveKey kill-slot luksKillSlot erase luksErase',
    load: async () => (await import('./keyslots.js')).addKeyslotCommands,
  },
  {
    names: 'config convert header-backup luksHeaderBackup header-restore luksHeaderRestore',
    load: async () => (await import('./header-upkeep.js')).addUpkeepCommands,
  },
  { names: 'repair', load: async () => (await import('./repair.js')).addRepairCommand },
  { names: 'token', load: async () => (await import('./tokens.js')).addTokenCommands },
  {
    names: 'encrypt decrypt reencrypt',
    load: async () => (await import('./reencrypt.js')).addReencryptCommands,
  },
  { names: 'benchmark', load: async () => (await import('./benchmark.js')).addBenchmarkCommand },
  // Needs all the others beside it, and so is found under no name.
  { names: '', load: async () => (await import('./completion.js')).addCompletionCommand },
];

/** Adds the commands that a command line with these words may be about: one group, or all. */
export async function addCommands(program: Command, words: readonly string[]): Promise<void> {
  const name = words.find((word) => !word.startsWith('-'));
  const isHelp = words[0]?.startsWith('-');
  const group = GROUPS.find(({ names }) => name !== undefined && names.split(' ').includes(name));
  for (const { load } of group && !isHelp ? [group] : GROUPS) (await load())(program);
}
