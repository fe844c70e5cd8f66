/**
 * The mount table and the loop devices of the machine, as the kernel tells them.
 */
import fs from 'node:fs';

export interface MountEntry {
  mountpoint: string;
  type: string;
  source: string;
  /** Per-mount and superblock options together. */
  options: string[];
}

/** proc(5): blanks in mountinfo are octal escapes. */
function decodeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** /proc/self/mountinfo: `id parent major:minor root mountpoint options [tags…] - type source superoptions`. */
export function listMounts(): MountEntry[] {
  const lines = fs.readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [left, right] = line.split(' - ') as [string, string];
    const [type, source, superOptions] = right.split(' ') as [string, string, string];
    const fields = left.split(' ');
    return {
      mountpoint: decodeOctal(fields[4]!),
      type,
      source: decodeOctal(source),
      options: [...fields[5]!.split(','), ...superOptions.split(',')],
    };
  });
}

/** The topmost mount on exactly this path. */
export function findMount(mountpoint: string): MountEntry | null {
  return listMounts().findLast((mount) => mount.mountpoint === mountpoint) ?? null;
}

/** Loop devices in use and the files behind them. */
export function listLoops(): { device: string; file: string }[] {
  return fs
    .readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop') && fs.existsSync(`/sys/block/${name}/loop/backing_file`))
    .map((name) => ({
      device: `/dev/${name}`,
      file: fs.readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd(),
    }));
}
