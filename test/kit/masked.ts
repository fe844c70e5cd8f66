/**
 * Commands that run on a machine that lacks something: in a mount namespace of their own, where the path of it is
 * covered, so that nobody else notices.
 */
import fs from 'node:fs';

/** Program and arguments that run `command` with `path`, a file or directory, replaced by an empty one. */
export function withoutPath(path: string, command: readonly string[]): [string, string[]] {
  const cover = fs.statSync(path).isDirectory() ? 'mount -t tmpfs none "$0"' : 'mount --bind /dev/null "$0"';
  return ['unshare', ['--mount', 'sh', '-ec', `${cover}; exec "$@"`, fs.realpathSync(path), ...command]];
}
