/**
 * `-o`, as mount(8) and fstab(5) have it, and the calls by which mount(8) and umount(8) run their helpers: they are turned
 * into the options of `luksfuse mount` and `umount`, so that each exists once.
 */
import path from 'node:path';
import { LuksError } from '../errors.js';

/** The names by which mount(8) and umount(8) find helpers for the type fuse.luksfuse. */
const HELPER_NAME = 'mount.fuse.luksfuse';
const UNMOUNT_HELPER_NAME = 'umount.fuse.luksfuse';

/** What mount(8), systemd and the kernel know and a mount of one file has no use for. */
const FOREIGN = new Set(
  (
    'defaults auto noauto user nouser users owner group nofail _netdev rw exec noexec suid nosuid dev nodev ' +
    'async sync atime noatime relatime norelatime strictatime lazytime nolazytime diratime nodiratime'
  ).split(' '),
);
const FOREIGN_PREFIXES = ['x-', 'X-', 'comment='];

/** Options of ours that take no value. */
const FLAGS: Readonly<Record<string, string>> = {
  ro: '--read-only',
  allow_other: '--allow-other',
  allow_root: '--allow-root',
  discard: '--allow-discards',
  allow_discards: '--allow-discards',
  pair: '--pair',
  ignore_pairing: '--ignore-pairing',
  allow_null_cipher: '--allow-null-cipher',
  force_kdf_limits: '--force-kdf-limits',
  no_supervise: '--no-supervise',
};

/** Options of ours with a value. None of them is a passphrase. */
const VALUES: Readonly<Record<string, string>> = {
  header: '--header',
  header_command: '--header-command',
  key_file: '--key-file',
  keyfile_offset: '--keyfile-offset',
  keyfile_size: '--keyfile-size',
  key_slot: '--key-slot',
  volume_key_file: '--volume-key-file',
  key_command: '--key-command',
  token_id: '--token-id',
  credential: '--credential',
  name: '--name',
  offset: '--offset',
  size: '--size',
  uid: '--uid',
  gid: '--gid',
  mode: '--mode',
  workers: '--workers',
  cache: '--cache',
  driver: '--driver',
  pid_file: '--pid-file',
  idle_unmount: '--idle-unmount',
};

function isForeign(option: string): boolean {
  return FOREIGN.has(option) || FOREIGN_PREFIXES.some((prefix) => option.startsWith(prefix));
}

/** `ro,header=/h` → `--read-only --header /h`. Throws BAD_ARGUMENT for what nobody knows. */
export function parseMountOptions(text: string): string[] {
  return text.split(',').flatMap((option) => {
    if (option === '' || isForeign(option)) return [];
    const flag = FLAGS[option];
    if (flag) return [flag];
    const equals = option.indexOf('=');
    const name = VALUES[option.slice(0, Math.max(0, equals))];
    if (name) return [name, option.slice(equals + 1)];
    throw new LuksError('BAD_ARGUMENT', `unknown mount option "${option}"; see luksfuse(1)`);
  });
}

/** Replaces each `-o LIST` of a mount command line by the options it stands for. */
function expandLists(words: string[]): string[] {
  const expanded: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === '--') return [...expanded, ...words.slice(index)];
    const isAttached = /^-o./.test(word);
    if (word === '-o' || isAttached) {
      const list = isAttached ? word.slice(2) : words[++index];
      if (list === undefined) throw new LuksError('BAD_ARGUMENT', 'option -o needs a list of mount options');
      expanded.push(...parseMountOptions(list));
    } else expanded.push(word);
  }
  return expanded;
}

/** mount(8), "EXTERNAL HELPERS": `SOURCE TARGET [-sfnv] [-N namespace] [-o options] [-t type.subtype]` */
function fromHelperCall([source, target, ...rest]: string[]): string[] | null {
  const lists: string[] = [];
  for (let index = 0; index < rest.length; index++) {
    const word = rest[index]!;
    if (word === '-o') lists.push(rest[++index] ?? '');
    else if (word === '-t' || word === '-N') index += 1;
    // A fake mount does everything but the mount itself: for us, nothing.
    else if (/^-[snv]*f[sfnv]*$/.test(word)) return null;
  }
  if (source === undefined || target === undefined) {
    throw new LuksError('BAD_ARGUMENT', `${HELPER_NAME} is run by mount(8); try: luksfuse mount --help`);
  }
  return ['mount', '--quiet', ...parseMountOptions(lists.join(',')), '--', source, target];
}

/** umount(8): `TARGET [-flnrv] [-N namespace] [-t type.subtype]`. It returns when the payload is closed. */
function fromUnmountHelperCall([target, ...rest]: string[]): string[] {
  if (target === undefined) {
    const cure = 'try: luksfuse umount --help';
    throw new LuksError('BAD_ARGUMENT', `${UNMOUNT_HELPER_NAME} is run by umount(8); ${cure}`);
  }
  const isLazy = rest.some((word) => /^-[fnrv]*l/.test(word));
  return ['umount', ...(isLazy ? ['--lazy'] : []), '--', target];
}

/** The command line as commander gets it; null where there is nothing to do. */
export function expandCommandLine([node, program, ...words]: string[]): string[] | null {
  const prefix = [node ?? '', program ?? ''];
  if (path.basename(program ?? '') === HELPER_NAME) {
    const helperWords = fromHelperCall(words);
    return helperWords && [...prefix, ...helperWords];
  }
  if (path.basename(program ?? '') === UNMOUNT_HELPER_NAME)
    return [...prefix, ...fromUnmountHelperCall(words)];
  const isMount = words.find((word) => !word.startsWith('-')) === 'mount' || words[0] === 'open';
  return [...prefix, ...(isMount ? expandLists(words) : words)];
}
