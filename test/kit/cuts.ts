/**
 * What a device looks like when power fails during a row of writes, each of which is synced before the next: recorded
 * from a real run, then rebuilt as each write's cut and torn remains leave it.
 */
import { Device } from '../../lib/device.js';

export interface Write {
  offsetBytes: number;
  bytes: Buffer;
}

/** A write to one of several files. */
export interface FileWrite extends Write {
  path: string;
}

/** Runs `use` and returns all writes to these files meanwhile, in their order. They happen all the same. */
export async function recordFileWrites(
  paths: readonly string[],
  use: () => Promise<unknown>,
): Promise<FileWrite[]> {
  const writes: FileWrite[] = [];
  const writeAt = Device.prototype.writeAt;
  Device.prototype.writeAt = function (this: Device, bytes, offsetBytes) {
    if (paths.includes(this.path)) {
      writes.push({ path: this.path, offsetBytes, bytes: Buffer.from(bytes) });
    }
    writeAt.call(this, bytes, offsetBytes);
  };
  try {
    await use();
  } finally {
    Device.prototype.writeAt = writeAt;
  }
  return writes;
}

/** As `recordFileWrites`, for one file. */
export function recordWrites(path: string, use: () => Promise<unknown>): Promise<Write[]> {
  return recordFileWrites([path], use);
}

export interface Cut {
  /** Which write was cut, and what of it was left. */
  name: string;
  /** Valid until the next one is asked for. */
  image: Buffer;
  /** Whole writes and halves: enough for a check that takes its time. */
  isMajor: boolean;
}

const SECTOR_BYTES = 512;
/** Metadata is written in one piece up to this size; more is key material. */
const MAX_METADATA_BYTES = 64 * 1024;

/** How many bytes of a write may have landed: any number of metadata, a choice of key material. */
function cutPoints(sizeBytes: number): number[] {
  if (sizeBytes <= MAX_METADATA_BYTES) return Array.from({ length: sizeBytes }, (_, index) => index);
  return [0, 1, 8, SECTOR_BYTES, 600, 4096, sizeBytes >> 1, sizeBytes - 1];
}

/** A disk may write the sectors of one write in any order: which of them have landed. */
const TEARS: readonly [name: string, hasLanded: (sector: number, count: number) => boolean][] = [
  ['its latter half', (sector, count) => sector >= count / 2],
  ['its even sectors', (sector) => sector % 2 === 0],
  ['its odd sectors', (sector) => sector % 2 === 1],
  ['all but its first sector', (sector) => sector > 0],
];

/** Puts the sectors of `write` that have landed into `image`; sectors are the device's, not the write's. */
function tear(
  image: Buffer,
  { offsetBytes, bytes }: Write,
  hasLanded: (sector: number, count: number) => boolean,
) {
  const firstSector = Math.floor(offsetBytes / SECTOR_BYTES);
  const endBytes = offsetBytes + bytes.length;
  const count = Math.ceil(endBytes / SECTOR_BYTES) - firstSector;
  for (let sector = 0; sector < count; sector += 1) {
    if (!hasLanded(sector, count)) continue;
    const start = Math.max(offsetBytes, (firstSector + sector) * SECTOR_BYTES);
    const end = Math.min(endBytes, (firstSector + sector + 1) * SECTOR_BYTES);
    bytes.copy(image, start, start - offsetBytes, end - offsetBytes);
  }
}

function* cutsOf(image: Buffer, write: Write, name: string): Generator<Cut> {
  const { offsetBytes, bytes } = write;
  const half = bytes.length >> 1;
  const old = Buffer.from(image.subarray(offsetBytes, offsetBytes + bytes.length));
  let shown = -1;
  for (const point of cutPoints(bytes.length)) {
    const isMajor = point === 0 || point === half;
    // Most bytes of metadata are what they were before: a cut behind such a byte leaves nothing new.
    const isNew = !bytes.subarray(Math.max(shown, 0), point).equals(old.subarray(Math.max(shown, 0), point));
    if (!isMajor && !isNew) continue;
    bytes.copy(image, offsetBytes, 0, point);
    shown = point;
    yield { name: `${name} cut after ${point}`, image, isMajor };
  }
  for (const [index, [what, hasLanded]] of TEARS.entries()) {
    old.copy(image, offsetBytes);
    tear(image, write, hasLanded);
    if (image.subarray(offsetBytes, offsetBytes + bytes.length).equals(old)) continue;
    yield { name: `${name} of which ${what} landed`, image, isMajor: index === 0 };
  }
  bytes.copy(image, offsetBytes);
}

/** The images that cuts leave of `before`, and last the one of all writes. */
export function* cutImages(before: Buffer, writes: readonly Write[]): Generator<Cut> {
  const ends = writes.map(({ offsetBytes, bytes }) => offsetBytes + bytes.length);
  const image = Buffer.alloc(Math.max(before.length, ...ends));
  before.copy(image);
  for (const [index, write] of writes.entries()) {
    yield* cutsOf(image, write, `write ${index} (${write.bytes.length} bytes at ${write.offsetBytes})`);
  }
  yield { name: 'all written', image, isMajor: true };
}
