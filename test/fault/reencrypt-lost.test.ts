/**
 * A reencryption that was interrupted within a zone of which a block is neither old nor new: it costs that block and not
 * the volume. What reads, reads all the rest; what writes is refused; repair says what is lost, and gives it up when told.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Device } from '../../lib/device.js';
import { systemError } from '../../lib/errors.js';
import { readHeader } from '../../lib/format/header.js';
import type { ReencryptionMode } from '../../lib/format/reencryption.js';
import { openVolume } from '../../lib/volume/open.js';
import { runReencryption } from '../../lib/volume/reencrypt.js';
import { openGiveback, runGiveback } from '../../lib/volume/reencrypt-giveback.js';
import { openReencryption } from '../../lib/volume/reencrypt-open.js';
import { cryptsetup, writeAt } from '../kit/cryptsetup.js';
import { hashOf, json, refuses } from '../kit/header-commands.js';
import { FAST_PBKDF2, read } from '../kit/headers.js';
import { killWhen, runAndKill } from '../kit/killed-run.js';
import { luksfuse, mountVolume, mustLuksfuse, PROGRAM } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { killServer, statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';
import { TerminalSession } from '../kit/terminal-session.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'script'] });
const KiB = 1024;
const MiB = 1024 * KiB;
const BLOCK_BYTES = 4096;
const SIZE_BYTES = 8 * MiB;
const ZONE_BYTES = 64 * KiB;
/** So much of the zone under way is rewritten when it is interrupted. */
const REWRITTEN_BYTES = 24 * KiB;
const OFFLINE = '--force-offline-reencrypt';

interface Extent {
  offsetBytes: number;
  sizeBytes: number;
}

class Volume {
  readonly header: string;
  readonly payload: string;
  readonly keyFile: string;
  readonly model = randomBytes(SIZE_BYTES);
  /** What noise was written over. */
  readonly lost: Extent[] = [];

  constructor(dir: string) {
    const at = (name: string) => path.join(dir, name);
    [this.header, this.payload, this.keyFile] = [at('header'), at('payload'), at('key')];
    fs.writeFileSync(this.keyFile, 'a passphrase');
    fs.writeFileSync(this.payload, this.model);
  }

  get args(): string[] {
    return ['--header', this.header, '--key-file', this.keyFile];
  }

  get files(): string[] {
    return [this.header, this.payload];
  }

  async begin(mode: ReencryptionMode, ...how: string[]): Promise<void> {
    const pbkdf = mode === 'decrypt' ? [] : FAST_PBKDF2;
    const sectors = mode === 'decrypt' ? [] : ['--sector-size', '4096'];
    if (mode !== 'encrypt') {
      await mustLuksfuse(['encrypt', '-q', ...this.args, ...FAST_PBKDF2, ...sectors, this.payload]);
    }
    await mustLuksfuse([mode, '-q', '--init-only', ...this.args, ...pbkdf, ...sectors, ...how, this.payload]);
  }

  /** The second zone of it, of which only the start gets onto the payload. */
  async interrupt(rewrittenBytes = REWRITTEN_BYTES): Promise<Extent> {
    const device = Device.open(this.header, { isReadOnly: false });
    const payload = Device.open(this.payload, { isReadOnly: false });
    const target = await openReencryption(device, payload, { passphrase: Buffer.from('a passphrase') });
    let writes = 0;
    payload.writeAt = (bytes, offsetBytes) => {
      writes += 1;
      const isCut = writes === 2;
      Device.prototype.writeAt.call(payload, isCut ? bytes.subarray(0, rewrittenBytes) : bytes, offsetBytes);
      if (isCut) throw new Error('power fails');
    };
    await t.rejects(runReencryption(target, { zoneBytes: ZONE_BYTES, threads: 1 }), /power fails/);
    for (const key of target.keys.values()) key.destroy();
    device.close();
    payload.close();
    return this.hotZone();
  }

  async hotZone(): Promise<Extent> {
    const hot = (await read(this.header)).segments.find(({ flags }) => flags.includes('in-reencryption'));
    if (!hot || hot.sizeBytes === 'dynamic') throw new Error('no hot zone');
    return { offsetBytes: hot.offsetBytes, sizeBytes: hot.sizeBytes };
  }

  /** Noise over one block. */
  damage(offsetBytes: number): void {
    writeAt(this.payload, randomBytes(BLOCK_BYTES), offsetBytes);
    this.lost.push({ offsetBytes, sizeBytes: BLOCK_BYTES });
  }

  /** What is the same as in the model but for what is lost. */
  matches(plaintext: Buffer): boolean {
    const [seen, expected] = [Buffer.from(plaintext), Buffer.from(this.model)];
    for (const { offsetBytes, sizeBytes } of this.lost) {
      for (const each of [seen, expected]) each.fill(0, offsetBytes, offsetBytes + sizeBytes);
    }
    return seen.equals(expected);
  }

  hashes(): string[] {
    return this.files.map(hashOf);
  }
}

/** Reads block by block: the plaintext, and the starts of those that fail, which are zeros in it. */
function readBlocks(file: string): { plaintext: Buffer; failed: number[] } {
  const plaintext = Buffer.alloc(SIZE_BYTES);
  const failed: number[] = [];
  const fd = fs.openSync(file, 'r');
  for (let at = 0; at < SIZE_BYTES; at += BLOCK_BYTES) {
    try {
      fs.readSync(fd, plaintext, at, BLOCK_BYTES, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
      failed.push(at);
    }
  }
  fs.closeSync(fd);
  return { plaintext, failed };
}

const starts = ({ lost }: Volume) => lost.map(({ offsetBytes }) => offsetBytes);

/** Mounts with these options: all but what is lost can be read, nothing written. */
async function checkMount(t: Test, volume: Volume, ...args: string[]): Promise<void> {
  const mount = await mountVolume(t, volume, { args });
  const { isReadOnly, warnings } = await statusOf(mount.mountpoint);
  if (args.length === 0) await killServer(mount.mountpoint);
  t.equal(isReadOnly, true, 'the mount is read-only');
  for (const at of starts(volume))
    t.match(`${warnings}`, new RegExp(`4096 bytes at ${at}\\b`), 'status says what is lost');
  const { plaintext, failed } = readBlocks(mount.file);
  t.strictSame(failed, starts(volume), 'these blocks fail, and no others');
  t.ok(volume.matches(plaintext), 'the rest is there');
  t.throws(() => fs.openSync(mount.file, 'r+'), { code: 'EROFS' });
  await mount.umount();
}

async function checkCat(t: Test, volume: Volume): Promise<void> {
  const before = volume.hashes();
  const cat = (...range: string[]) => luksfuse(['cat', ...volume.args, ...range, volume.payload]);
  const whole = await cat();
  t.equal(whole.code, 4);
  t.match(whole.stderr, /warning: .* cannot be read.*read-only.*luksfuse repair/);
  t.match(whole.stderr, /cat: read: EIO/);
  let from = 0;
  for (const { offsetBytes, sizeBytes } of [...volume.lost, { offsetBytes: SIZE_BYTES, sizeBytes: 0 }]) {
    const { code, stdout } = await cat('--offset', `${from}`, '--length', `${offsetBytes - from}`);
    t.equal(code, 0);
    t.ok(stdout.equals(volume.model.subarray(from, offsetBytes)), `all of ${from} to ${offsetBytes}`);
    from = offsetBytes + sizeBytes;
  }
  t.strictSame(volume.hashes(), before, 'and nothing was written');
}

async function checkAll(t: Test, volume: Volume, mode: ReencryptionMode): Promise<void> {
  const { args, payload, header } = volume;
  // A kill may also have left the two copies of the header different.
  const { stderr } = await mustLuksfuse(['repair', '-q', header]);
  t.match(stderr, /was interrupted.*--header .* <payload>/, 'without the payload it says what to do');
  const isLost = (message: RegExp) => ({ exit: 4, code: 'DEVICE_IO', message });
  await checkCat(t, volume);
  const before = volume.hashes();
  await checkMount(t, volume, '-r');
  t.strictSame(volume.hashes(), before, 'a mount for reading writes nothing');
  await checkMount(t, volume);
  const mountpoint = fs.mkdtempSync(`${payload}-mountpoint-`);
  const { stderr: said } = await mustLuksfuse(['mount', ...args, payload, mountpoint]);
  await mustLuksfuse(['umount', mountpoint]);
  t.match(said, /^luksfuse: warning: .*4096 bytes at \d+.*the volume is read-only/, 'and says so at once');
  const written = await luksfuse(['write', ...args, payload], { input: Buffer.alloc(512) });
  t.equal(written.code, 4);
  t.match(written.stderr, /cannot write: .*4096 bytes at \d+.*luksfuse repair/);
  const [first] = starts(volume);
  const named = new RegExp(`4096 bytes at ${first}\\b.*are lost.*luksfuse repair --force`);
  await refuses(t, ['reencrypt', '--resume-only', ...args, payload], isLost(named), volume.files);
  await refuses(
    t,
    ['repair', '-q', ...args, payload],
    isLost(new RegExp(`4096 bytes at ${first}\\b.*--force`)),
    volume.files,
  );
  const { lost } = await json(['repair', '-q', '--force', ...args, payload]);
  t.strictSame(lost, volume.lost, 'given up when told');
  if ((await read(header)).config.requirements.length > 0) {
    await mustLuksfuse(['reencrypt', '--resume-only', ...args, payload]);
  }
  const end =
    mode === 'decrypt' ? fs.readFileSync(payload) : (await mustLuksfuse(['cat', ...args, payload])).stdout;
  t.ok(volume.matches(end), 'and the work goes on to its end');
}

for (const [mode, ...how] of [
  ['encrypt'],
  ['reencrypt', '--direction', 'backward'],
  ['decrypt', '--direction', 'forward'],
] as [ReencryptionMode, ...string[]][]) {
  t.test(`${mode} by ours, noise over an old block and a new one`, { skip }, async (t) => {
    const volume = new Volume(makeTempDir(t));
    await volume.begin(mode, ...how);
    const zone = await volume.interrupt();
    const before = volume.hashes();
    const { stdout } = await mustLuksfuse(['cat', ...volume.args, volume.payload]);
    t.ok(stdout.equals(volume.model), 'without noise, cat reads old and new blocks');
    t.strictSame(volume.hashes(), before, 'and writes nothing');
    volume.damage(zone.offsetBytes + BLOCK_BYTES);
    volume.damage(zone.offsetBytes + ZONE_BYTES - BLOCK_BYTES);
    await checkAll(t, volume, mode);
  });
}

t.test('reencrypt by cryptsetup, killed, and noise over a block', { skip }, async (t) => {
  const volume = new Volume(makeTempDir(t));
  const { args, payload, header } = volume;
  await mustLuksfuse(['encrypt', '-q', ...args, ...FAST_PBKDF2, '--sector-size', '4096', payload]);
  await cryptsetup('reencrypt', '--init-only', OFFLINE, ...args, ...FAST_PBKDF2, payload);
  const isHot = async () =>
    (await read(header)).segments.some(({ flags }) => flags.includes('in-reencryption'));
  const resume = ['reencrypt', '-q', '--resume-only', OFFLINE, '--hotzone-size', '64K', ...args, payload];
  for (let attempt = 0; attempt === 0 || !(await isHot()); attempt += 1) {
    if (await runAndKill('cryptsetup', resume, killWhen(isHot)))
      throw new Error('it ended before it was killed');
  }
  volume.damage((await volume.hotZone()).offsetBytes);
  await checkAll(t, volume, 'reencrypt');
});

t.test('a block that is torn is recovered, but not by a reader', { skip }, async (t) => {
  const volume = new Volume(makeTempDir(t));
  const { args, payload } = volume;
  await volume.begin('reencrypt', '--direction', 'forward');
  const { offsetBytes } = await volume.interrupt(REWRITTEN_BYTES + BLOCK_BYTES / 2);
  volume.lost.push({ offsetBytes: offsetBytes + REWRITTEN_BYTES, sizeBytes: BLOCK_BYTES });
  await checkCat(t, volume);
  t.match(await json(['repair', '-q', ...args, payload]), { lost: [], repairs: [/interrupted step/] });
  volume.lost.length = 0;
  t.ok((await mustLuksfuse(['cat', ...args, payload])).stdout.equals(volume.model), 'all of it is there');
});

t.test('a journal is written out, but not by a reader', { skip }, async (t) => {
  const volume = new Volume(makeTempDir(t));
  await volume.begin('reencrypt', '--direction', 'forward', '--resilience', 'journal');
  volume.lost.push(await volume.interrupt());
  await checkCat(t, volume);
  const mount = await mountVolume(t, volume);
  t.match(await statusOf(mount.mountpoint), { isReadOnly: false, warnings: [] });
  t.ok(fs.readFileSync(mount.file).equals(volume.model), 'all of it is there');
  await mount.umount();
});

t.test('a block that the storage does not give is lost as well', { skip }, async (t) => {
  const volume = new Volume(makeTempDir(t));
  await volume.begin('reencrypt', '--direction', 'forward');
  const { offsetBytes } = await volume.interrupt();
  const bad = offsetBytes + 2 * BLOCK_BYTES;
  const { readAt } = Device.prototype;
  Device.prototype.readAt = function (this: Device, buffer, at) {
    const isBad = this.path === volume.payload && at < bad + BLOCK_BYTES && at + buffer.length > bad;
    if (isBad) throw systemError('EIO', 'read');
    return readAt.call(this, buffer, at);
  };
  t.teardown(() => {
    Device.prototype.readAt = readAt;
  });
  const unlock = { passphrase: Buffer.from('a passphrase') };
  const opened = await openVolume(volume.payload, unlock, { headerPath: volume.header });
  t.equal(opened.isReadOnly, true);
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let at = 0; at < SIZE_BYTES; at += BLOCK_BYTES) {
    if (at === bad) t.throws(() => opened.read(block, at), { code: 'EIO' });
    else if (opened.read(block, at) && !block.equals(volume.model.subarray(at, at + BLOCK_BYTES)))
      t.fail(`${at}`);
  }
  t.throws(() => opened.write(block, 0), { code: 'EROFS' });
  opened.close();
});

t.test('the head of a payload that gets the room of its header', { skip }, async (t) => {
  const volume = new Volume(makeTempDir(t));
  const { header, payload, keyFile, args } = volume;
  fs.truncateSync(payload, SIZE_BYTES + 2 * MiB);
  const places = ['--luks2-metadata-size', '16k', '--luks2-keyslots-size', '256k', '--offset', '4096'];
  await mustLuksfuse(['format', '-q', '--key-file', keyFile, ...FAST_PBKDF2, ...places, payload]);
  await mustLuksfuse(['write', '--key-file', keyFile, payload], { input: volume.model });
  await mustLuksfuse(['decrypt', '-q', '--init-only', ...args, payload]);
  await interruptHead(volume);
  volume.damage(BLOCK_BYTES);
  const { code, stderr } = await luksfuse(['decrypt', '--resume-only', ...args, payload]);
  t.equal(code, 4);
  t.match(stderr, /4096 bytes at 4096 are lost.*repair --force/);
  const terminal = new TerminalSession(`${PROGRAM} repair --force ${args.join(' ')} ${payload}`);
  await terminal.expect('Type YES: ');
  terminal.type('YES\r');
  await terminal.expect('4096 bytes at 4096 are lost; they stay as they are, noise, and count as done.');
  terminal.type('no\r');
  t.equal(await terminal.end(), 1, 'a person is asked, with --force too');
  t.strictSame((await json(['repair', '-q', '--force', ...args, payload])).lost, volume.lost);
  t.ok(volume.matches(fs.readFileSync(payload).subarray(0, SIZE_BYTES)), 'the rest is plain');
  t.strictSame((await read(header)).config.requirements, [], 'and all is done');
});

/** Lets the work go on to the head, of which the first half gets onto the payload. */
async function interruptHead({ header, payload: path }: Volume): Promise<void> {
  const device = Device.open(header, { isReadOnly: false });
  const payload = Device.open(path, { isReadOnly: false });
  const target = await openGiveback(device, payload, { passphrase: Buffer.from('a passphrase') });
  payload.writeAt = (bytes, offsetBytes) => {
    Device.prototype.writeAt.call(payload, bytes, offsetBytes);
    const isHead = readHeader(device).segments.some(
      ({ flags, offsetBytes: start }) => flags.includes('in-reencryption') && start === 0,
    );
    if (isHead) throw new Error('power fails');
  };
  await t.rejects(runGiveback(target), /power fails/);
  for (const key of target.keys.values()) key.destroy();
  device.close();
  payload.close();
}

t.test('in a mount, whose server dies in a step and leaves noise', { skip }, async (t) => {
  const volume = new Volume(makeTempDir(t));
  const { header, payload, keyFile, args } = volume;
  await mustLuksfuse(['encrypt', '-q', ...args, ...FAST_PBKDF2, '--sector-size', '4096', payload]);
  const trigger = `${payload}.trigger`;
  const hook = new URL(`./dies-in-zone.js?trigger=${trigger}`, import.meta.url).href;
  const { mountpoint, file, umount } = await mountVolume(t, volume, { hook });
  const online = ['reencrypt', '--online', '-q'];
  const how = ['--key-file', keyFile, ...FAST_PBKDF2, '--max-speed', '4M', '--hotzone-size', '1M'];
  await mustLuksfuse([...online, ...how, mountpoint]);
  fs.writeFileSync(`${trigger}.new`, JSON.stringify({ header, payload }));
  fs.renameSync(`${trigger}.new`, trigger);
  const stateOf = async () => (await statusOf(mountpoint)).reencryption!;
  const untilFailed = async () => {
    while ((await stateOf()).state !== 'failed') await delay(50);
  };
  await untilFailed();
  const zone = await volume.hotZone();
  const check = () => {
    const { plaintext, failed } = readBlocks(file);
    const blocks = Array.from(
      { length: zone.sizeBytes / BLOCK_BYTES },
      (_, at) => zone.offsetBytes + at * BLOCK_BYTES,
    );
    t.strictSame(failed, blocks, 'the zone fails');
    for (const each of [plaintext, volume.model])
      each.fill(0, zone.offsetBytes, zone.offsetBytes + zone.sizeBytes);
    t.ok(plaintext.equals(volume.model), 'the rest is there');
  };
  const model = Buffer.from(volume.model);
  check();
  const bytes = randomBytes(BLOCK_BYTES);
  const [before, behind] = [zone.offsetBytes - BLOCK_BYTES + SIZE_BYTES, zone.offsetBytes + zone.sizeBytes];
  for (const at of [before % SIZE_BYTES, behind % SIZE_BYTES]) {
    writeAt(file, bytes, at);
    for (const each of [model, volume.model]) bytes.copy(each, at);
  }
  check();
  t.match((await stateOf()).error, new RegExp(`4096 bytes at ${zone.offsetBytes + BLOCK_BYTES} are lost`));
  await mustLuksfuse([...online, '--resume-only', mountpoint]);
  await untilFailed();
  await umount();
  model.copy(volume.model);
  volume.lost.push({ offsetBytes: zone.offsetBytes + BLOCK_BYTES, sizeBytes: BLOCK_BYTES });
  await checkMount(t, volume);
});
