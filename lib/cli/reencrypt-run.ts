/**
 * The run of a reencryption as a command: its devices and locks, progress for people or programs, and an end between two
 * steps where a signal asks for it.
 */
import { formatBytes } from '../bytes.js';
import { destroyKeys, type VolumeKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { readHeader } from '../format/header.js';
import { withReencryptionLock } from '../format/lock.js';
import type { ReencryptionMode } from '../format/reencryption.js';
import { begunMode, findGiveback, type Giveback } from '../format/reencryption-giveback.js';
import { findShiftedEncryption } from '../format/reencryption-shift.js';
import { requireRoomForHeader } from '../format/requirements.js';
import { lockImage } from '../image-lock.js';
import type { Unlock } from '../keyslot/unlock.js';
import type { FormattedDevices } from '../volume/create.js';
import { isSameFile } from '../volume/header-file.js';
import { type RunOptions, runReencryption } from '../volume/reencrypt.js';
import { openGiveback, runGiveback } from '../volume/reencrypt-giveback.js';
import { openReencryption } from '../volume/reencrypt-open.js';
import { openShiftedEncryption, runShiftedEncryption } from '../volume/reencrypt-shift.js';
import { announce, tell } from './output.js';
import { Progress } from './progress.js';
import type { ReencryptCommandOptions } from './reencrypt-options.js';
import { Interrupted } from './terminal.js';

/** Between two lines of --json. */
const REPORT_MS = 500;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export type Devices = FormattedDevices;

/** Opens and claims header and payload for writing, and closes them in the end. */
export async function withDevices<T>(
  payloadPath: string,
  headerPath: string | undefined,
  use: (devices: Devices) => Promise<T>,
): Promise<T> {
  if (headerPath !== undefined && isSameFile(headerPath, payloadPath)) {
    throw new LuksError('BAD_ARGUMENT', `${headerPath} is the payload itself; leave --header out`);
  }
  const payload = Device.open(payloadPath, { isReadOnly: false });
  let device = payload;
  try {
    lockImage(payload, 'writer');
    if (headerPath !== undefined) {
      device = Device.open(headerPath, { isReadOnly: false });
      lockImage(device, 'writer');
    }
    const header = readHeader(device);
    if (device === payload) requireRoomForHeader(header, payloadPath);
    return await withReencryptionLock(header.uuid, () => use({ device, payload }));
  } finally {
    device.close();
    payload.close();
  }
}

/** Tells how far it is: drawn on a terminal, or as lines of JSON. */
class Reporter {
  readonly #isJson: boolean;
  readonly #what: string;
  readonly #startMs = Date.now();
  #bar: Progress | null = null;
  #startBytes = 0;
  #reportedMs = 0;

  constructor(what: string, isJson: boolean) {
    this.#what = what;
    this.#isJson = isJson;
  }

  update(doneBytes: number, totalBytes: number): void {
    if (!this.#bar) {
      this.#bar = new Progress(this.#what, totalBytes);
      this.#startBytes = doneBytes;
    }
    if (!this.#isJson) {
      if (doneBytes > 0) this.#bar.update(doneBytes);
      return;
    }
    const now = Date.now();
    if (now - this.#reportedMs < REPORT_MS && doneBytes < totalBytes) return;
    this.#reportedMs = now;
    const seconds = Math.max(0.001, (now - this.#startMs) / 1000);
    const bytesPerSecond = Math.round((doneBytes - this.#startBytes) / seconds);
    const secondsLeft = bytesPerSecond > 0 ? Math.round((totalBytes - doneBytes) / bytesPerSecond) : null;
    announce(JSON.stringify({ progress: { doneBytes, totalBytes, bytesPerSecond, secondsLeft } }));
  }

  finish(): void {
    this.#bar?.finish();
  }
}

/** Runs `use` with a function that tells whether a signal asked for the end; a second one of its kind ends at once. */
async function untilSignal<T>(use: (signal: () => NodeJS.Signals | null) => Promise<T>): Promise<T> {
  let caught: NodeJS.Signals | null = null;
  const note = (signal: NodeJS.Signals) => {
    caught = signal;
  };
  for (const signal of SIGNALS) process.once(signal, note);
  try {
    return await use(() => caught);
  } finally {
    for (const signal of SIGNALS) process.off(signal, note);
  }
}

interface Work {
  mode: ReencryptionMode;
  /** To be destroyed. */
  keys: VolumeKeys;
  run(options: RunOptions): Promise<{ doneBytes: number; totalBytes: number }>;
  /** What a person is told when all is done. */
  ending?: (totalBytes: number) => string;
}

/** The header has left the payload, which gets its room. */
async function openGivebackWork(
  { device, payload }: Devices,
  giveback: Giveback,
  unlock: Unlock,
  hotzoneSize: number | undefined,
): Promise<Work> {
  if (device === payload) {
    throw new LuksError('BAD_ARGUMENT', 'this header is not that of its own device; name it with --header');
  }
  const headBytes = giveback.moved.sizeBytes as number;
  if (hotzoneSize !== undefined && hotzoneSize < headBytes) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `the head of the data, ${headBytes} bytes, is rewritten in one step; leave --hotzone-size out, or give as much`,
    );
  }
  const target = await openGiveback(device, payload, unlock);
  return {
    mode: 'decrypt',
    keys: target.keys,
    run: (options) => runGiveback(target, options),
    ending: (totalBytes) =>
      `The plaintext is the first ${totalBytes} bytes of ${payload.path}; what follows is noise` +
      (payload.isBlockDevice ? '' : `, to be cut off with: truncate -s ${totalBytes} ${payload.path}`),
  };
}

/** What the header says is to be done, with the data where it is or moved. */
async function openWork(
  { device, payload }: Devices,
  unlock: Unlock,
  { hotzoneSize }: ReencryptCommandOptions,
): Promise<Work> {
  const header = readHeader(device);
  const giveback = findGiveback(header);
  if (giveback) return openGivebackWork({ device, payload }, giveback, unlock, hotzoneSize);
  const shifted = findShiftedEncryption(header);
  if (!shifted) {
    const target = await openReencryption(device, payload, unlock);
    const { mode } = target.reencryption;
    return { mode, keys: target.keys, run: (options) => runReencryption(target, options) };
  }
  if (device !== payload) {
    throw new LuksError('BAD_ARGUMENT', 'this encryption makes room for the header; leave --header out');
  }
  if (hotzoneSize !== undefined) {
    throw new LuksError(
      'BAD_ARGUMENT',
      'data is moved by as much as the shift at a time; leave --hotzone-size out',
    );
  }
  const target = await openShiftedEncryption(device, shifted, unlock);
  return { mode: 'encrypt', keys: target.keys, run: (options) => runShiftedEncryption(target, options) };
}

/** Does what the header on `device` says is to be done, all of it or until a signal. */
export function finishReencryption(
  devices: Devices,
  unlock: Unlock,
  options: ReencryptCommandOptions,
): Promise<void> {
  return untilSignal(async (signal) => {
    const work = await openWork(devices, unlock, options);
    const { mode } = work;
    const reporter = new Reporter(mode, options.json ?? false);
    try {
      const { doneBytes, totalBytes } = await work.run({
        ...(options.hotzoneSize !== undefined && { zoneBytes: options.hotzoneSize }),
        onProgress: (done, total) => reporter.update(done, total),
        isStopped: () => signal() !== null,
      });
      reporter.finish();
      const isDone = doneBytes === totalBytes;
      if (options.json) announce(JSON.stringify({ mode, doneBytes, totalBytes, isDone }));
      else if (isDone && work.ending) announce(work.ending(totalBytes));
      if (isDone) return;
      tell(
        `luksfuse: ${mode} stopped at ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}; ` +
          'go on with: luksfuse reencrypt --resume-only',
      );
      throw new Interrupted(signal()!);
    } finally {
      reporter.finish();
      destroyKeys(work.keys);
    }
  });
}

/** What --init-only prints. */
export function printBegun(device: Device, options: ReencryptCommandOptions): void {
  const header = readHeader(device);
  const mode = begunMode(header);
  if (options.json) announce(JSON.stringify({ mode, uuid: header.uuid, isDone: false }));
  else announce(`The header records what is to be done; go on with: luksfuse reencrypt --resume-only`);
}
