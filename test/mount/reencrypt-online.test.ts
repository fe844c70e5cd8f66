/**
 * A mounted volume is reencrypted by its daemon while programs read and write it: under fio's verification, under ext4 on
 * a loop device, paused, slowed down, unmounted in the middle, and with its server killed.
 */
import { spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { cryptsetup } from '../kit/cryptsetup.js';
import { refuses } from '../kit/header-commands.js';
import { FAST_PBKDF2, read } from '../kit/headers.js';
import { attachLoop } from '../kit/loop.js';
import { type Mounted, mountVolume, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';
import { killServer, statusOf } from '../kit/serving.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup'] });
const skipFio = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'fio'] });
const skipLoop = skipUnless({
  root: true,
  fuse: true,
  loop: true,
  tools: ['cryptsetup', 'mkfs.ext4', 'fsck.ext4'],
});
const MiB = 1024 * 1024;
const SIZE_BYTES = 64 * MiB;
const TO_4096 = ['--sector-size', '4096'];

class Volume {
  readonly header: string;
  readonly payload: string;
  readonly keyFile: string;
  readonly #t: Test;

  private constructor(t: Test, dir: string) {
    this.#t = t;
    this.header = path.join(dir, 'header');
    this.payload = path.join(dir, 'payload');
    this.keyFile = path.join(dir, 'key');
  }

  /** A LUKS2 volume with 512-byte sectors. */
  static async make(t: Test, isAttached = false): Promise<Volume> {
    const volume = new Volume(t, makeTempDir(t));
    const { header, payload, keyFile } = volume;
    fs.writeFileSync(keyFile, 'a passphrase');
    fs.writeFileSync(payload, Buffer.alloc(SIZE_BYTES + (isAttached ? 16 * MiB : 0)));
    const where = isAttached ? [] : ['--header', header];
    const how = ['--type', 'luks2', '--sector-size', '512', ...FAST_PBKDF2, ...where];
    await cryptsetup('luksFormat', ...how, payload, keyFile);
    if (isAttached) Object.assign(volume, { header: null });
    return volume;
  }

  mount(): Promise<Mounted> {
    return mountVolume(this.#t, this);
  }

  /** Command-line arguments behind `reencrypt`. */
  beginning(mountpoint: string, ...more: string[]): string[] {
    return ['reencrypt', '--online', '-q', '--key-file', this.keyFile, ...FAST_PBKDF2, ...more, mountpoint];
  }

  /** The plaintext as cryptsetup has it, of the volume that is not mounted any more. */
  async decrypt(): Promise<Buffer> {
    const how = [
      '--decrypt',
      '--force-offline-reencrypt',
      '--header',
      this.header,
      '--key-file',
      this.keyFile,
    ];
    await cryptsetup('reencrypt', ...how, this.payload);
    return fs.readFileSync(this.payload);
  }
}

const order = (mountpoint: string, ...how: string[]) =>
  mustLuksfuse(['reencrypt', '--online', ...how, mountpoint]);

/** Returns when nothing is left to be reencrypted, having done `meanwhile` time and again. */
async function untilDone(mountpoint: string, meanwhile: () => Promise<unknown> | unknown): Promise<void> {
  for (;;) {
    const { reencryption } = await statusOf(mountpoint);
    if (!reencryption) return;
    if (reencryption.state !== 'running') throw new Error(JSON.stringify(reencryption));
    await meanwhile();
  }
}

/** Overwrites random places of the file and of what it must hold. */
function edit(file: string, model: Buffer, count = 30): void {
  const fd = fs.openSync(file, 'r+');
  try {
    for (let each = 0; each < count; each += 1) {
      const bytes = randomBytes(randomInt(1, 100_000));
      const at = randomInt(model.length - bytes.length);
      const count = fs.writeSync(fd, bytes, 0, bytes.length, at);
      if (count !== bytes.length) throw new Error(`only ${count} of ${bytes.length} bytes were written`);
      bytes.copy(model, at);
      const seen = Buffer.alloc(randomInt(1, 100_000));
      const from = randomInt(model.length - seen.length);
      fs.readSync(fd, seen, 0, seen.length, from);
      if (!seen.equals(model.subarray(from, from + seen.length))) throw new Error(`bytes at ${from} differ`);
    }
  } finally {
    fs.closeSync(fd);
  }
}

t.test('read and written while it goes on, paused, slowed down, its server killed', { skip }, async (t) => {
  const volume = await Volume.make(t);
  const mounted = await volume.mount();
  const { mountpoint, file } = mounted;
  const model = randomBytes(SIZE_BYTES);
  fs.writeFileSync(file, model);
  const before = [...(await read(volume.header)).digests.keys()];
  await mustLuksfuse(volume.beginning(mountpoint, ...TO_4096, '--max-speed', '8M', '--hotzone-size', '1M'));
  for (let kill = 0; kill < 3; kill += 1) {
    edit(file, model);
    await killServer(mountpoint);
    edit(file, model);
  }
  await order(mountpoint, '--pause');
  const paused = (await statusOf(mountpoint)).reencryption!;
  t.equal(paused.state, 'paused');
  t.ok(paused.doneBytes < SIZE_BYTES, `${paused.doneBytes} bytes are done`);
  edit(file, model);
  await delay(300);
  t.equal((await statusOf(mountpoint)).reencryption!.doneBytes, paused.doneBytes, 'and stay so');
  await mustLuksfuse(['upgrade', mountpoint]);
  t.equal((await statusOf(mountpoint)).reencryption!.state, 'paused', 'also with another server');
  await order(mountpoint, '--resume-only');
  await untilDone(mountpoint, () => edit(file, model));
  await killServer(mountpoint);
  edit(file, model);
  t.ok(fs.readFileSync(file).equals(model), 'all of it is there');
  const header = await read(volume.header);
  t.notOk(header.digests.has(before[0]!), 'under another key');
  t.equal(header.segments[0]!.sectorSizeBytes, 4096);
  await mounted.umount();
  t.ok((await volume.decrypt()).equals(model), 'for cryptsetup as well');
});

t.test('unmounted in the middle, and gone on with by the next mount', { skip }, async (t) => {
  const volume = await Volume.make(t);
  const first = await volume.mount();
  const model = randomBytes(SIZE_BYTES);
  fs.writeFileSync(first.file, model);
  const how = ['--direction', 'backward', '--resilience', 'journal', '--max-speed', '30M'];
  await mustLuksfuse(volume.beginning(first.mountpoint, ...how));
  edit(first.file, model);
  await first.umount();
  const second = await volume.mount();
  t.match((await statusOf(second.mountpoint)).reencryption, { mode: 'reencrypt', state: 'paused' });
  edit(second.file, model);
  await order(second.mountpoint, '--resume-only');
  await untilDone(second.mountpoint, () => edit(second.file, model));
  t.ok(fs.readFileSync(second.file).equals(model));
  await second.umount();
  t.ok((await volume.decrypt()).equals(model));
});

for (const [mode, first] of [
  ['encrypt', 'plain'],
  ['decrypt', 'encrypted'],
] as const) {
  t.test(`${mode} goes on in a mount, on a volume that is ${first}`, { skip }, async (t) => {
    const volume = await Volume.make(t);
    const model = randomBytes(SIZE_BYTES);
    const named = ['--header', volume.header, '--key-file', volume.keyFile];
    if (mode === 'encrypt') fs.writeFileSync(volume.payload, model);
    else await mustLuksfuse(['write', ...named, volume.payload], { input: model });
    const pbkdf = mode === 'encrypt' ? FAST_PBKDF2 : [];
    await mustLuksfuse([mode, '-q', '--init-only', ...named, ...pbkdf, volume.payload]);
    const mounted = await volume.mount();
    await order(mounted.mountpoint, '--resume-only');
    await untilDone(mounted.mountpoint, () => edit(mounted.file, model));
    edit(mounted.file, model);
    await killServer(mounted.mountpoint);
    t.ok(fs.readFileSync(mounted.file).equals(model));
    await mounted.umount();
    const plaintext = mode === 'decrypt' ? fs.readFileSync(volume.payload) : await volume.decrypt();
    t.ok(plaintext.equals(model));
  });
}

t.test('fio verifies what it writes meanwhile, on an attached header', { skip: skipFio }, async (t) => {
  const volume = await Volume.make(t, true);
  const { mountpoint, file, umount } = await volume.mount();
  await mustLuksfuse(volume.beginning(mountpoint, '--hotzone-size', '512K', '--max-speed', '24M'));
  const job = ['--name=online', `--filename=${file}`, '--rw=randwrite', '--bs=4k', '--iodepth=8', '--thread'];
  const check = ['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--verify_state_save=0'];
  let rounds = 0;
  await untilDone(mountpoint, async () => {
    const how = ['--direct=1', '--ioengine=libaio', '--size=48m', '--io_size=16m', `--randseed=${rounds}`];
    const { code, stderr } = await run('fio', [...job, ...how, ...check], { timeoutMs: 60_000 });
    if (code !== 0) t.fail(`round ${rounds}: ${stderr}`);
    rounds += 1;
  });
  t.ok(rounds > 0, `${rounds} rounds`);
  await umount();
});

t.test('ext4 on a loop device lives through it', { skip: skipLoop }, async (t) => {
  const volume = await Volume.make(t);
  const { mountpoint, file, umount } = await volume.mount();
  const device = await attachLoop(t, file);
  await mustRun('mkfs.ext4', ['-q', device]);
  const dir = makeTempDir(t);
  await mustRun('mount', [device, dir]);
  await mustLuksfuse(volume.beginning(mountpoint, '--max-speed', '24M', ...TO_4096));
  const files = new Map<string, Buffer>();
  await untilDone(mountpoint, () => {
    const bytes = randomBytes(randomInt(1, 300_000));
    const name = path.join(dir, `file-${files.size % 50}`);
    fs.writeFileSync(name, bytes, { flush: true });
    files.set(name, bytes);
  });
  await mustRun('umount', [dir]);
  t.equal((await run('fsck.ext4', ['-fn', device])).code, 0, 'clean');
  await mustRun('mount', [device, dir]);
  for (const [name, bytes] of files) {
    if (!fs.readFileSync(name).equals(bytes)) t.fail(`${name} differs`);
  }
  await mustRun('umount', [dir]);
  await mustRun('losetup', ['--detach', device]);
  await umount();
});

t.test('what is refused', { skip }, async (t) => {
  const volume = await Volume.make(t);
  const mounted = await mountVolume(t, volume, { args: ['--no-supervise'] });
  const untouched = [volume.header, volume.payload];
  const bad = (message: RegExp, exit = 1, code = 'BAD_ARGUMENT') => ({ exit, code, message });
  const begin = volume.beginning(mounted.mountpoint);
  await refuses(t, begin, bad(/not supervised/, 4, 'UNSUPPORTED'), untouched);
  await mounted.umount();
  const { mountpoint, umount } = await volume.mount();
  const attempt = (...more: string[]) => volume.beginning(mountpoint, ...more);
  await refuses(t, attempt('--resilience', 'none'), bad(/protection/), untouched);
  await refuses(t, attempt('--header', volume.header), bad(/leave --header out/), untouched);
  await refuses(t, attempt('--init-only'), bad(/--init-only/), untouched);
  await refuses(t, attempt('--max-speed', '0'), bad(/--pause/), untouched);
  await refuses(t, ['reencrypt', '--online', '--pause', mountpoint], bad(/nothing is under way/), untouched);
  await refuses(t, ['reencrypt', '--pause', volume.payload], bad(/go with --online/), untouched);
  await umount();
});

t.test('orders at the same moment: an upgrade does not bring the old key back', { skip }, async (t) => {
  for (let round = 0; round < 4; round += 1) {
    const volume = await Volume.make(t);
    const { file, mountpoint, umount } = await volume.mount();
    const model = randomBytes(SIZE_BYTES);
    fs.writeFileSync(file, model, { flag: 'r+' });
    const upgrade = async () => {
      await delay(randomInt(400));
      await mustLuksfuse(['upgrade', mountpoint]);
    };
    const begin = async () => {
      await delay(randomInt(200));
      await mustLuksfuse(volume.beginning(mountpoint, ...TO_4096));
    };
    await Promise.all([upgrade(), begin(), upgrade()]);
    await untilDone(mountpoint, () => edit(file, model, 5));
    t.ok(fs.readFileSync(file).equals(model), 'what is read is what was written');
    await umount();
    t.ok((await volume.decrypt()).equals(model), 'cryptsetup reads the same');
  }
});

t.test('somebody else has the lock when a server begins in the middle of a zone', { skip }, async (t) => {
  const volume = await Volume.make(t);
  const { file, mountpoint, umount } = await volume.mount();
  const model = randomBytes(SIZE_BYTES);
  fs.writeFileSync(file, model, { flag: 'r+' });
  await mustLuksfuse(volume.beginning(mountpoint, ...TO_4096, '--max-speed', '8M', '--hotzone-size', '1M'));
  const { uuid } = await statusOf(mountpoint);
  const lock = `/run/cryptsetup/LN_LUKS2-reencryption-${uuid}`;
  // As another program would, from the moment when the server dies with a zone half done.
  const holder = spawn('flock', [lock, '-c', 'sleep 9'], { stdio: 'ignore' });
  await killServer(mountpoint);
  await once(holder, 'exit');
  await untilDone(mountpoint, () => delay(50));
  t.ok(fs.readFileSync(file).equals(model));
  await umount();
  t.ok((await volume.decrypt()).equals(model), 'cryptsetup reads the same');
});
