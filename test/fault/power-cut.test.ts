/**
 * Power fails at every moment of a mount's life, and takes with it whatever of the payload's writes was not synced, in
 * part and in any order: what fsync(2) or msync(2) had returned for is there.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Secret } from '../../lib/crypto/secret.js';
import { createSectorCipher } from '../../lib/crypto/sector-cipher.js';
import { Device } from '../../lib/device.js';
import { addKey, changeKey, removeKey } from '../../lib/keyslot/keys.js';
import { startSession } from '../../lib/mount/session.js';
import { Volume } from '../../lib/volume/volume.js';
import { formatHeader, withDevice } from '../kit/headers.js';
import { withSharedMapping } from '../kit/libc.js';
import { findMount } from '../kit/mounts.js';
import { Clock, PIECE_BYTES, readJournals, remains, storeModule } from '../kit/payload-journal.js';
import { type Random, seededRandom } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const SIZE_BYTES = 128 * 1024;
/** POWER_CUT_OPERATIONS for a longer run. */
const OPERATIONS = Number(process.env.POWER_CUT_OPERATIONS ?? 150);
const ENCRYPTION = 'aes-xts-plain64';
const skip = skipUnless({ root: true, fuse: true });

/** What a program wrote, and what it was told. */
class Account {
  readonly clock = new Clock();
  /** Of each piece all that it has held, with the moment from which it may. */
  readonly #versions: { bytes: Buffer; since: number }[][];
  /** What had been written when a sync began, by the moment when it returned. */
  readonly #syncs: { returned: number; counts: number[] }[] = [];
  readonly model: Buffer;

  constructor(model: Buffer) {
    this.model = model;
    this.#versions = Array.from({ length: model.length / PIECE_BYTES }, (_, index) => [
      { bytes: this.#piece(model, index), since: 0 },
    ]);
  }

  /** Before a write of `bytes` is begun. */
  noteWrite(bytes: Buffer, offsetBytes: number): void {
    bytes.copy(this.model, offsetBytes);
    const since = this.clock.tick();
    const last = Math.floor((offsetBytes + bytes.length - 1) / PIECE_BYTES);
    for (let index = Math.floor(offsetBytes / PIECE_BYTES); index <= last; index += 1) {
      this.#versions[index]!.push({ bytes: this.#piece(this.model, index), since });
    }
  }

  /** Runs a call that is to make all durable that was written before. */
  sync(call: () => void): void {
    const counts = this.#versions.map((versions) => versions.length);
    call();
    this.#syncs.push({ returned: this.clock.tick(), counts });
  }

  get syncCount(): number {
    return this.#syncs.length;
  }

  /** The first piece of `plaintext` that it cannot hold after a cut at `moment`; -1 where there is none. */
  findLoss(plaintext: Buffer, moment: number): number {
    const counts = this.#syncs.findLast(({ returned }) => returned <= moment)?.counts;
    return this.#versions.findIndex((versions, index) => {
      const found = this.#piece(plaintext, index);
      const oldest = counts ? counts[index]! - 1 : 0;
      return !versions.slice(oldest).some(({ bytes, since }) => since <= moment && bytes.equals(found));
    });
  }

  #piece(bytes: Buffer, index: number): Buffer {
    return Buffer.from(bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES));
  }
}

/** Writes and syncs at random, as programs do: read-modify-write, large, through a mapping. */
function useFile(file: string, account: Account, random: Random): void {
  const fd = fs.openSync(file, 'r+');
  try {
    for (let round = 0; round < OPERATIONS; round += 1) {
      const offsetBytes = random.below(SIZE_BYTES - 1);
      const bytes = random.bytes(
        random.between(1, Math.min(random.pick([600, 600, 20_000]), SIZE_BYTES - offsetBytes)),
      );
      account.noteWrite(bytes, offsetBytes);
      if (random.oneIn(8)) {
        account.sync(() => withSharedMapping(fd, SIZE_BYTES, (memory) => memory.set(bytes, offsetBytes)));
        continue;
      }
      fs.writeSync(fd, bytes, 0, bytes.length, offsetBytes);
      if (random.oneIn(5)) account.sync(() => fs.fsyncSync(fd));
    }
  } finally {
    fs.closeSync(fd);
  }
}

interface Case {
  cache: 'auto' | 'writeback';
  sectorBytes: number;
}

async function record(t: Test, { cache, sectorBytes }: Case, random: Random) {
  const dir = makeTempDir(t);
  const [payload, mountpoint] = [path.join(dir, 'payload'), path.join(dir, 'mountpoint')];
  fs.mkdirSync(mountpoint);
  fs.writeFileSync(payload, Buffer.alloc(SIZE_BYTES));
  const key = randomBytes(64);
  const segment = { startBytes: 0, deviceOffsetBytes: 0, ivTweak: 0n, encryption: ENCRYPTION, digest: 0 };
  const layout = {
    segments: [{ ...segment, sizeBytes: SIZE_BYTES, sectorSizeBytes: sectorBytes }],
    windowOffsetBytes: 0,
    sizeBytes: SIZE_BYTES,
    allowsDiscards: false,
    reencryption: null,
  };
  const device = Device.open(payload, { isReadOnly: false });
  const volume = Volume.create(device, layout, new Map([[0, Secret.takeFrom(Buffer.from(key))]]));
  const account = new Account(randomBytes(SIZE_BYTES));
  volume.write(account.model, 0);
  const before = fs.readFileSync(payload);
  const handle = { volume: volume.handle, clockMemory: account.clock.memory, dir };
  const session = await startSession({
    ...{ mountpoint, cache, storeModule, workerCount: 2 },
    ...{ store: volume, storeHandle: handle, source: payload },
  });
  t.teardown(async () => {
    if (findMount(session.mountpoint)) await session.unmount({ lazy: true });
    await session.closed;
    volume.close();
  });
  useFile(session.filePath, account, random);
  await session.unmount();
  return { account, before, entries: readJournals(dir), key };
}

for (const cache of ['auto', 'writeback'] as const) {
  for (const sectorBytes of [512, 4096]) {
    t.test(`cache ${cache}, sectors of ${sectorBytes}`, { skip }, async (t) => {
      const random = seededRandom((line) => t.comment(line));
      const { account, before, entries, key } = await record(t, { cache, sectorBytes }, random);
      const cipher = createSectorCipher(ENCRYPTION, key, sectorBytes);
      let count = 0;
      for (const { name, image, moment } of remains(before, entries, random)) {
        cipher.decryptInPlace(image, 0n);
        const lost = account.findLoss(image, moment);
        if (lost >= 0) t.fail(`cut at ${moment}, ${name}: piece ${lost} is not what it may be`);
        count += 1;
      }
      cipher.destroy();
      const syncs = entries.filter(({ write }) => write === null).length;
      t.ok(
        account.syncCount > 10 && syncs >= account.syncCount,
        `${account.syncCount} times the file was synced`,
      );
      t.ok(count > entries.length, `${count} cuts of ${entries.length} calls`);
    });
  }
}

t.test(
  'what a header command writes is synced before it writes more',
  { skip: skipUnless({ tools: ['cryptsetup'] }) },
  async (t) => {
    for (const type of ['luks1', 'luks2']) {
      const files = await formatHeader(t, type);
      const calls: string[] = [];
      const { writeAt, sync } = Device.prototype;
      Object.assign(Device.prototype, {
        writeAt(this: Device, bytes: Uint8Array, offsetBytes: number) {
          if (this.path === files.header) calls.push('write');
          writeAt.call(this, bytes, offsetBytes);
        },
        sync(this: Device) {
          if (this.path === files.header) calls.push('sync');
          sync.call(this);
        },
      });
      const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
      const [second, third] = [Buffer.from('second'), Buffer.from('third')];
      try {
        const writable = { isReadOnly: false };
        await withDevice(files.header, (device) => addKey(device, files, second, { pbkdf }), writable);
        await withDevice(files.header, (device) => changeKey(device, second, third, { pbkdf }), writable);
        await withDevice(files.header, (device) => removeKey(device, third), writable);
      } finally {
        Object.assign(Device.prototype, { writeAt, sync });
      }
      const unsynced = calls.filter((call, index) => call === 'write' && calls[index + 1] !== 'sync');
      t.ok(calls.length > 6, `${type}: ${calls.length} calls`);
      t.strictSame(unsynced, [], `${type}: after every write a sync`);
    }
  },
);
