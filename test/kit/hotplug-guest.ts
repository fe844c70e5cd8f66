/**
 * A guest that disks are plugged into while its script runs: where its monitor is, and what it has said so far.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { bootGuest, type GuestOptions, type GuestResult } from './guest.js';
import { waitUntil } from './processes.js';
import { makeTempDir } from './temp.js';

/** Ports that take a disk while the machine runs. */
const PORT_ARGS = ['port1', 'port2'].flatMap((id, index) => [
  '-device',
  `pcie-root-port,id=${id},chassis=${index + 1}`,
]);
const STEP_MS = 90_000;

/** For guest scripts: `await CONDITION` waits until test(1) says yes, and gives up with the guest. */
export const AWAIT = `
await() {
  n=0
  until [ "$@" ]; do
    n=$((n + 1))
    [ $n -lt 600 ] || exit 99
    sleep 0.1
  done
}
`;

export interface HotplugGuest {
  /** Its QMP socket. */
  qmp: string;
  /** Resolves when the script has said this. */
  says(text: string): Promise<void>;
  /** How it ends. */
  ended: Promise<GuestResult>;
}

/** Boots it; the test goes on while the script runs, which begins with AWAIT. */
export async function startHotplugGuest(t: Test, options: GuestOptions): Promise<HotplugGuest> {
  const dir = makeTempDir(t);
  const [qmp, outputFile] = [path.join(dir, 'qmp'), path.join(dir, 'said')];
  const qmpArgs = ['-qmp', `unix:${qmp},server=on,wait=off`];
  const ended = bootGuest(t, {
    ...options,
    script: AWAIT + options.script,
    outputFile,
    qemuArgs: [...PORT_ARGS, ...qmpArgs, ...(options.qemuArgs ?? [])],
  });
  let failure: Error | null = null;
  const onEnd = ({ output }: GuestResult) => new Error(`the guest has ended, and said: ${output}`);
  void ended
    .then(onEnd, (error: Error) => error)
    .then((end) => {
      failure = end;
    });
  const until = (what: string, condition: () => boolean) =>
    waitUntil(what, () => failure !== null || condition(), STEP_MS).then(() => {
      if (failure && !condition()) throw failure;
    });
  await until('QEMU has a monitor', () => fs.existsSync(qmp));
  const said = () => (fs.existsSync(outputFile) ? fs.readFileSync(outputFile, 'utf8') : '');
  return { qmp, ended, says: (text) => until(`the guest says "${text}"`, () => said().includes(text)) };
}
