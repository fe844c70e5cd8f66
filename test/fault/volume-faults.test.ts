/**
 * A volume whose payload fails at every n-th system call of every kind of access: the caller gets the errno, or the
 * right bytes; nothing outside of the range asked for changes; and once the fault is over, all is as it should be.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Secret } from '../../lib/crypto/secret.js';
import { Device } from '../../lib/device.js';
import type { SegmentLayout } from '../../lib/volume/layout.js';
import { Volume } from '../../lib/volume/volume.js';
import { codeOf } from '../kit/error-code.js';
import { type Effect, injectFaults, type Operation, PayloadFaults } from '../kit/payload-faults.js';
import { makeTempDir } from '../kit/temp.js';

const KEY = randomBytes(64);
const SECTOR_COUNT = 24;

interface Format {
  sectorBytes: number;
  encryption: string;
  keyBytes: number;
}

/** In CBC and the wide-block modes, one byte written anew changes more of its sector than its own block. */
const FORMATS: readonly Format[] = [
  { sectorBytes: 512, encryption: 'aes-xts-plain64', keyBytes: 64 },
  { sectorBytes: 512, encryption: 'aes-cbc-essiv:sha256', keyBytes: 32 },
  { sectorBytes: 4096, encryption: 'xchacha12,aes-adiantum-plain64', keyBytes: 32 },
];

interface Access {
  name: string;
  /** In sectors and bytes of the volume whose sectors have `sectorBytes`. */
  range: (sectorBytes: number) => [offsetBytes: number, lengthBytes: number];
}

/** Every way a range can lie over sectors, and over the border of two segments. */
const ACCESSES: readonly Access[] = [
  { name: 'whole sectors', range: (sector) => [2 * sector, 5 * sector] },
  { name: 'within a sector', range: (sector) => [3 * sector + 10, 100] },
  { name: 'the end of one and the start of the next', range: (sector) => [4 * sector - 7, 20] },
  { name: 'parts at both ends', range: (sector) => [5 * sector + 1, 4 * sector + 5] },
  { name: 'two segments', range: (sector) => [11 * sector + 3, 3 * sector] },
  { name: 'the last byte', range: (sector) => [SECTOR_COUNT * sector - 1, 1] },
];

const ERRORS: readonly Effect[] = ['EIO', 'ENOSPC', 'EDQUOT'];
const EFFECTS: Record<'read' | 'write', readonly Effect[]> = {
  read: ['EIO', 'short', 'nothing', 'slow'],
  write: [...ERRORS, 'short', 'torn', 'nothing', 'slow'],
};
/** What the caller is told where that is not the effect itself; null for nothing. */
const ANSWERS: Partial<Record<Effect, string | null>> = {
  short: null,
  slow: null,
  torn: 'EIO',
  nothing: 'EIO',
};

function segments({ sectorBytes, encryption }: Format): SegmentLayout[] {
  const half = (SECTOR_COUNT / 2) * sectorBytes;
  const common = { sizeBytes: half, encryption, digest: 0, sectorSizeBytes: sectorBytes };
  return [
    { ...common, startBytes: 0, deviceOffsetBytes: 4096, ivTweak: 0n },
    { ...common, startBytes: half, deviceOffsetBytes: 16384 + half, ivTweak: 77n },
  ];
}

function openOn(file: string, format: Format): Volume {
  const sizeBytes = SECTOR_COUNT * format.sectorBytes;
  const layout = {
    segments: segments(format),
    windowOffsetBytes: 0,
    sizeBytes,
    allowsDiscards: false,
    reencryption: null,
  };
  const device = Device.open(file, { isReadOnly: false });
  return Volume.create(
    device,
    layout,
    new Map([[0, Secret.takeFrom(Buffer.from(KEY.subarray(0, format.keyBytes)))]]),
  );
}

/** A volume of random bytes, its faults, and what it must hold. */
class Trial {
  readonly volume: Volume;
  readonly faults = new PayloadFaults();
  readonly model: Buffer;
  readonly #file: string;
  readonly #format: Format;
  readonly #restore: () => void;

  constructor(t: Test, format: Format) {
    this.#file = path.join(makeTempDir(t), 'payload');
    fs.writeFileSync(this.#file, randomBytes(32768 + SECTOR_COUNT * format.sectorBytes));
    this.#format = format;
    this.volume = openOn(this.#file, format);
    this.model = randomBytes(this.volume.sizeBytes);
    this.volume.write(this.model, 0);
    this.#restore = injectFaults(this.volume.handle.device.fd, this.faults);
    t.teardown(() => this.close());
  }

  close(): void {
    this.#restore();
    this.volume.close();
  }

  /** What another program, which was told nothing, finds in the payload. */
  stored(): Buffer {
    const other = openOn(this.#file, this.#format);
    const bytes = Buffer.alloc(other.sizeBytes);
    other.read(bytes, 0);
    other.close();
    return bytes;
  }
}

/** What is wrong after a write of `bytes` that ended with `code`, or null. */
function findDamage(trial: Trial, bytes: Buffer, offsetBytes: number, code: string | null): string | null {
  const { model } = trial;
  const end = offsetBytes + bytes.length;
  const found = trial.stored();
  if (!found.subarray(0, offsetBytes).equals(model.subarray(0, offsetBytes)))
    return 'bytes before it changed';
  if (!found.subarray(end).equals(model.subarray(end))) return 'bytes behind it changed';
  if (code === null && !found.subarray(offsetBytes, end).equals(bytes)) return 'it was not written';
  return null;
}

/** The write with this effect at its nth call: what is wrong with it, or null. */
function tryWrite(
  trial: Trial,
  operation: Operation,
  effect: Effect,
  nth: number,
  range: [number, number],
  work: (bytes: Buffer, offsetBytes: number) => void,
  bytes: Buffer,
): string | null {
  const [offsetBytes] = range;
  trial.faults.arm(operation, effect, nth);
  const code = codeOf(() => work(bytes, offsetBytes));
  const isSpent = trial.faults.isSpent;
  trial.faults.clear();
  const expected = effect in ANSWERS ? ANSWERS[effect]! : effect;
  if (!isSpent) return 'the fault did not come about';
  if (code !== expected) return `it ended with ${code}, not ${expected}`;
  const damage = findDamage(trial, bytes, offsetBytes, code);
  if (damage) return damage;
  work(bytes, offsetBytes);
  bytes.copy(trial.model, offsetBytes);
  return trial.stored().equals(trial.model) ? null : 'once the fault is over, writing it again does not help';
}

function tryRead(trial: Trial, effect: Effect, nth: number, [offset, length]: [number, number]) {
  const target = Buffer.alloc(length);
  const expected = effect in ANSWERS ? ANSWERS[effect]! : effect;
  const isRight = () => target.equals(trial.model.subarray(offset, offset + length));
  trial.faults.arm('read', effect, nth);
  const code = codeOf(() => trial.volume.read(target, offset));
  trial.faults.clear();
  if (code !== expected) return `it ended with ${code}, not ${expected}`;
  if (code === null && !isRight()) return 'wrong bytes';
  trial.volume.read(target, offset);
  return isRight() ? null : 'wrong bytes once the fault is over';
}

/** How many calls of the kind `work` makes. */
function countCalls(trial: Trial, operation: Operation, work: () => void): number {
  trial.faults.clear();
  work();
  return trial.faults.count(operation);
}

const WRITERS = {
  write: (trial: Trial) => (bytes: Buffer, offsetBytes: number) => trial.volume.write(bytes, offsetBytes),
  'write in place': (trial: Trial) => {
    const buffer = Volume.allocateIoBuffer(65536);
    return (bytes: Buffer, offsetBytes: number) => {
      buffer.set(bytes);
      trial.volume.write(buffer.subarray(0, bytes.length), offsetBytes);
    };
  },
  zeroRange: (trial: Trial) => (bytes: Buffer, offsetBytes: number) =>
    trial.volume.zeroRange(offsetBytes, bytes.length),
};

for (const format of FORMATS) {
  const { sectorBytes, encryption } = format;
  const where = `${encryption}, sectors of ${sectorBytes}`;
  t.test(`reads, ${where}`, async (t) => {
    const trial = new Trial(t, format);
    for (const { name, range } of ACCESSES) {
      const [offset, length] = range(sectorBytes);
      const calls = countCalls(trial, 'read', () => trial.volume.read(Buffer.alloc(length), offset));
      const problems = EFFECTS.read.flatMap((effect) =>
        Array.from({ length: calls }, (_, nth) => tryRead(trial, effect, nth, [offset, length])),
      );
      t.strictSame(
        problems.filter((problem) => problem !== null),
        [],
        `${name}: ${calls} calls`,
      );
    }
  });

  for (const [kind, writer] of Object.entries(WRITERS)) {
    t.test(`${kind}, ${where}`, async (t) => {
      const trial = new Trial(t, format);
      const work = writer(trial);
      for (const { name, range } of ACCESSES) {
        const [offset, length] = range(sectorBytes);
        const problems: string[] = [];
        for (const operation of ['read', 'write'] as const) {
          const same = Buffer.from(trial.model.subarray(offset, offset + length));
          const calls = countCalls(trial, operation, () => work(same, offset));
          if (kind === 'zeroRange') trial.model.fill(0, offset, offset + length);
          for (const effect of EFFECTS[operation]) {
            for (let nth = 0; nth < calls; nth += 1) {
              const bytes = kind === 'zeroRange' ? Buffer.alloc(length) : randomBytes(length);
              const problem = tryWrite(trial, operation, effect, nth, [offset, length], work, bytes);
              if (problem) problems.push(`${operation} ${nth} ${effect}: ${problem}`);
            }
          }
        }
        t.strictSame(problems, [], name);
      }
    });
  }
}

t.test('sync', async (t) => {
  const trial = new Trial(t, FORMATS[0]!);
  for (const effect of ERRORS) {
    trial.faults.arm('sync', effect);
    t.equal(
      codeOf(() => trial.volume.sync()),
      effect,
      'its errno reaches the caller',
    );
    t.equal(
      codeOf(() => trial.volume.sync()),
      null,
      'and the next one counts for itself',
    );
  }
  trial.faults.arm('sync', 'EIO');
  t.equal(
    codeOf(() => trial.volume.close()),
    'EIO',
    'close tells of the last one',
  );
  t.throws(() => fs.fstatSync(trial.volume.handle.device.fd), { code: 'EBADF' }, 'and closes all the same');
});
