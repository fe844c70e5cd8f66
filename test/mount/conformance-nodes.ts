/**
 * Rows on names and attributes.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { setxattr } from '../kit/libc.js';
import { outcome, type Row, SIZE, shell, statText } from './conformance.js';

export const NODE_ROWS: readonly Row[] = [
  {
    name: 'a directory shows one file',
    kind: 'directory',
    observe: ({ mountpoint, path }) => [
      path === join(mountpoint, 'payload'),
      fs.readdirSync(mountpoint),
      shell('ls -la "$1" | wc -l', mountpoint),
    ],
    expected: [true, ['payload'], '4'],
  },
  {
    name: 'stat of the file',
    observe: ({ path }) => statText('%F %s %h %b %B %a %u %g %o', path),
    expected: `regular file ${SIZE} 1 ${SIZE / 512} 512 600 0 0 131072`,
  },
  {
    name: 'stat of the directory',
    kind: 'directory',
    observe: ({ mountpoint }) => statText('%F %h %a %u %g', mountpoint),
    expected: 'directory 2 700 0 0',
  },
  {
    name: 'statfs shows a full file system of the size',
    observe: ({ path }) => {
      const [blocks, blockBytes, free, nameMax] = shell('stat -f -c "%b %S %f %l" "$1"', path)
        .split(' ')
        .map(Number);
      return [blocks! * blockBytes!, free, nameMax];
    },
    expected: [SIZE, 0, 255],
  },
  {
    name: 'other names do not exist',
    kind: 'directory',
    observe: ({ mountpoint, path }) => [
      outcome(() => fs.statSync(join(mountpoint, 'other'))),
      outcome(() => fs.statSync(join(path, 'below'))),
      outcome(() => fs.readdirSync(path)),
    ],
    expected: ['ENOENT', 'ENOTDIR', 'ENOTDIR'],
  },
  {
    name: 'the tree keeps its one file',
    kind: 'directory',
    observe: ({ mountpoint, path }) => {
      const other = join(mountpoint, 'other');
      return [
        outcome(() => fs.writeFileSync(other, 'x')),
        outcome(() => fs.mkdirSync(other)),
        outcome(() => fs.symlinkSync('x', other)),
        outcome(() => fs.linkSync(path, other)),
        outcome(() => fs.renameSync(path, other)),
        outcome(() => fs.unlinkSync(path)),
        outcome(() => fs.writeFileSync(path, 'x', { flag: 'wx' })),
        shell('mknod "$1" p 2>&1 | sed "s/.*: //"', other),
      ];
    },
    expected: ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'EEXIST', 'Operation not permitted'],
  },
  {
    name: 'it cannot be executed, and has no extended attributes',
    observe: ({ path }) => [
      outcome(() => fs.accessSync(path, fs.constants.R_OK | fs.constants.W_OK)),
      outcome(() => fs.accessSync(path, fs.constants.X_OK)),
      outcome(() => setxattr(path, 'user.x', Buffer.from('y'), 1, 0)),
    ],
    expected: [undefined, 'EACCES', 'ENOTSUP'],
  },
  {
    name: 'name, mode and owner as asked for',
    mount: { fileName: 'disk.img', mode: 0o640, uid: 12, gid: 34 },
    observe: ({ path, kind }) => [kind === 'file' || path.endsWith('/disk.img'), statText('%a %u %g', path)],
    expected: [true, '640 12 34'],
  },
  {
    name: 'chmod and chown last; set-user-id does not',
    observe: ({ path }) => {
      fs.chmodSync(path, 0o6604);
      fs.chownSync(path, 56, 78);
      shell('chgrp 90 "$1"', path);
      const seen = Array.from({ length: 5 }, () => shell('sync -f "$1"; stat -c "%a %u %g" "$1"', path));
      fs.chmodSync(path, 0o600);
      fs.chownSync(path, 0, 0);
      return seen;
    },
    expected: Array(5).fill('604 56 90'),
  },
  {
    name: 'both times set, apart',
    observe: ({ path }) => {
      fs.utimesSync(path, 1_000_000_000.25, 2_000_000_000.5);
      return statText('%.3X %.3Y', path);
    },
    expected: '1000000000.250 2000000000.500',
    fuseNative: {
      why: 'its C passes the access time for both',
      expected: '1000000000.250 1000000000.250',
    },
  },
  {
    name: 'both times set to one, in nanoseconds',
    observe: ({ path }) => shell('touch -d @5.123456789 "$1"; stat -c "%.9X %.9Y" "$1"', path),
    expected: '5.123456789 5.123456789',
    fuseNative: { why: 'it counts in milliseconds', expected: '5.123000000 5.123000000' },
  },
  {
    name: 'one time set leaves the other',
    observe: ({ path }) =>
      shell('touch -d @5 "$1"; touch -a -d @7 "$1"; touch -m -d @9 "$1"; stat -c "%X %Y" "$1"', path),
    expected: '7 9',
    fuseNative: {
      why: 'libfuse 2 passes on both times or none, unless asked by a flag it hides',
      expected: '5 5',
    },
  },
  {
    name: 'a time before 1970',
    observe: ({ path }) => shell('touch -d @-1000.25 "$1"; stat -c "%.2X %.2Y" "$1"', path),
    expected: '-1000.25 -1000.25',
    fuseNative: { why: 'its times are unsigned', expected: '0.00 0.00' },
  },
  {
    name: 'writing moves the modification time, reading moves none',
    observe: ({ path }) => {
      shell('touch -d @5 "$1"', path);
      fs.readFileSync(path);
      const afterRead = statText('%X %Y', path);
      shell('echo x 1<>"$1"', path);
      return [afterRead, Number(statText('%Y', path)) > 1e9, statText('%X', path)];
    },
    expected: ['5 5', true, '5'],
  },
  {
    name: 'a read-only store is mounted read-only',
    mount: { isReadOnly: true },
    observe: ({ path }) => [
      outcome(() => fs.openSync(path, fs.constants.O_RDWR)),
      outcome(() => fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_TRUNC)),
      outcome(() => fs.chmodSync(path, 0o777)),
      outcome(() => fs.truncateSync(path, SIZE)),
      outcome(() => fs.utimesSync(path, 1, 1)),
      fs.readFileSync(path).length,
    ],
    expected: ['EROFS', 'EROFS', 'EROFS', 'EROFS', 'EROFS', SIZE],
  },
];
