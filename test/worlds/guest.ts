/**
 * Worlds that are whole machines: Debian's kernel and root file system of one suite, in QEMU. The guest does what
 * guest-script.sh says; then cryptsetup reads here what it left.
 *
 *   node dist/test/worlds/guest.js NAME...    rows of WORLDS, such as linux-5.10; two at a time
 */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { decryptPayload, makePair } from '../kit/cryptsetup.js';
import { bootGuest } from '../kit/guest.js';
import { guestCacheDir, requireGuestKernel } from '../kit/guest-kernel.js';
import { MACHINES } from '../kit/guest-machine.js';
import { PROJECT_DIR } from '../kit/luksfuse.js';
import { mustRun } from '../kit/run.js';
import { makeProgramDisk } from './guest-program.js';

const MiB = 1024 * 1024;
/** For a machine that is busy with something else; an idle one takes 3 minutes, or 20 for another architecture and tests. */
const TIMEOUT_MS = 90 * 60_000;

interface GuestWorld {
  suite: string;
  flavour: string;
  /** The suite's own Node.js is too old. */
  withNode?: boolean;
  /** Tests for it to run as well, such as unit/crypto/vectors. */
  tests?: readonly string[];
}

/** What depends on the processor and the size of its pages. */
const MACHINE_TESTS = [
  ...[
    'af',
    'block-hash',
    'cipher-space',
    'gcrypt',
    'hash',
    'kdf',
    'kernel',
    'sector-cipher',
    'vectors',
    'wasm',
  ].map((name) => `unit/crypto/${name}`),
  ...['unit/crypto/wide-block', 'unit/native/memory', 'unit/native/transfer'],
];

const WORLDS: Readonly<Record<string, GuestWorld>> = {
  'linux-5.10': { suite: 'bullseye', flavour: 'cloud-amd64', withNode: true },
  'linux-6.1': { suite: 'bookworm', flavour: 'cloud-amd64', withNode: true },
  'linux-6.12': { suite: 'trixie', flavour: 'cloud-amd64' },
  'linux-newest': { suite: 'sid', flavour: 'cloud-amd64' },
  'arm64-16k': { suite: 'trixie', flavour: 'arm64-16k', tests: MACHINE_TESTS },
};

t.setTimeout(TIMEOUT_MS);

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const inProject = (file: string) => path.join(PROJECT_DIR, 'test', file);

/** Boots it, and takes what its script says for this test's own results. */
async function runGuest(
  t: Test,
  { suite, flavour, withNode = false, tests = [] }: GuestWorld,
): Promise<void> {
  await mustRun(inProject('kit/fetch-guest-kernel.sh'), [suite, flavour], { timeoutMs: TIMEOUT_MS });
  const kernel = requireGuestKernel(`${suite}-${flavour}`);
  await mustRun(inProject('worlds/guest-root.sh'), [suite, kernel.arch], { timeoutMs: TIMEOUT_MS });
  const root = path.join(guestCacheDir(), `root-${suite}-${kernel.arch}.ext4`);

  const pair = await makePair(t, { type: 'luks2', sizeBytes: 16 * MiB });
  const file = (name: string, content: string | Buffer) => {
    fs.writeFileSync(path.join(pair.dir, name), content);
    return path.join(pair.dir, name);
  };
  const program = path.join(pair.dir, 'program');
  await makeProgramDisk(program, {
    ...{ arch: kernel.arch, withNode, withTests: tests.length > 0 },
    files: {
      init: inProject('worlds/guest-init.sh'),
      script: inProject('worlds/guest-script.sh'),
      header: pair.headerFile,
      key: pair.keyFile,
      pattern: file('pattern', randomBytes(MiB)),
      'plain.sha256': file('digest', sha256(pair.plaintext)),
      tests: file('tests', tests.join('\n')),
      port: file('port', MACHINES[kernel.arch].ports.output),
    },
  });
  const { output, exitStatus, kernelLog, elapsedMs } = await bootGuest(t, {
    kernel,
    // The cipher code takes SSE4.1, which the processor that is QEMU's own choice lacks.
    ...(kernel.arch === 'amd64' && { cpu: 'max' }),
    cpuCount: 2,
    memoryMiB: 1024,
    timeoutMs: TIMEOUT_MS,
    disks: [{ file: root, isReadOnly: true }, { file: program, isReadOnly: true }, { file: pair.payload }],
    script: `mkdir /next-root
      mount -t ext4 -o ro /dev/vda /next-root && mount -t ext4 -o ro /dev/vdb /next-root/program`,
  });
  // A step's result, and behind one that failed, what it said, in lines that begin with "# ".
  for (const [, result, what = '', said] of output.matchAll(/^(ok|not ok) (.*)\n((?:# .*\n)*)/gm)) {
    t.equal(result, 'ok', what, { said });
  }
  t.comment(/^versions: .*/m.exec(output)?.[0] ?? 'no versions');
  t.equal(exitStatus, 0, `a script of ${Math.round(elapsedMs / 1000)} s`);
  t.notMatch(kernelLog, /\b(BUG|WARNING|Oops|Call [Tt]race)\b/, 'the kernel has no complaint');
  t.match(output, `plaintext: ${sha256(await decryptPayload(pair))}`, 'cryptsetup reads the same');
}

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in WORLDS));
if (unknown.length > 0 || names.length === 0) {
  throw new Error(`no such guest: ${unknown.join(', ')}; there are ${Object.keys(WORLDS).join(', ')}`);
}
// Each has two processors, and waits for its disks and timers as well.
t.jobs = 2;
for (const name of names) {
  t.test(name, { buffered: true, timeout: TIMEOUT_MS }, (t) => runGuest(t, WORLDS[name]!));
}
