/**
 * Prints the versions of what the program works with in this world, in one line.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { TOOL_PATH } from '../kit/run.js';

/** The first number with dots that the program says of itself, or "none". */
function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', env: { PATH: TOOL_PATH } });
  return /\d+(\.\d+)+/.exec(stdout ?? '')?.[0] ?? 'none';
}

function systemName(): string {
  const release = fs.readFileSync('/etc/os-release', 'utf8');
  return /^PRETTY_NAME="(.*)"$/m.exec(release)?.[1] ?? os.type();
}

const { node, uv, openssl } = process.versions;
const versions = [
  `Node ${node} (libuv ${uv}, OpenSSL ${openssl})`,
  `util-linux ${versionOf('mount')}`,
  `fuse3 ${versionOf('fusermount3')}`,
  `cryptsetup ${versionOf('cryptsetup')}`,
  `QEMU ${versionOf('qemu-img')}`,
  `fio ${versionOf('fio')}`,
  `kernel ${os.release()}`,
];
process.stdout.write(`${systemName()}: ${versions.join(', ')}\n`);
