/**
 * Edits LUKS2 headers byte by byte for tests, written from the specification and not with the codec under
 * test: the JSON of a header file changed and both checksums made right again.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';

// biome-ignore lint/suspicious/noExplicitAny: tests put anything into the JSON.
export type LooseJson = any;

const BINARY_HEADER_BYTES = 4096;
const CHECKSUM_AT = 448;

export function hdrSizeOf(image: Buffer): number {
  return Number(image.readBigUInt64BE(8));
}

/** Makes the checksum of the copy at `offsetBytes` right. */
export function fixChecksum(image: Buffer, offsetBytes: number, hash = 'sha256'): void {
  const copy = image.subarray(offsetBytes, offsetBytes + hdrSizeOf(image.subarray(offsetBytes)));
  copy.fill(0, CHECKSUM_AT, CHECKSUM_AT + 64);
  createHash(hash).update(copy).digest().copy(copy, CHECKSUM_AT);
}

export function readJson(image: Buffer, offsetBytes = 0): LooseJson {
  const area = image.subarray(offsetBytes + BINARY_HEADER_BYTES, offsetBytes + hdrSizeOf(image));
  return JSON.parse(area.toString('utf8', 0, area.indexOf(0)));
}

/** Puts `text` into the JSON area at `offsetBytes`, and the checksum right. */
export function putJsonText(image: Buffer, text: string | Buffer, offsetBytes: number): void {
  const start = offsetBytes + BINARY_HEADER_BYTES;
  image.fill(0, start, offsetBytes + hdrSizeOf(image));
  image.set(typeof text === 'string' ? Buffer.from(text) : text, start);
  fixChecksum(image, offsetBytes);
}

/** A copy of `image` whose JSON was changed by `edit`, in both header copies. */
export function withJson(image: Buffer, edit: (json: LooseJson) => unknown): Buffer {
  const changed = Buffer.from(image);
  const json = readJson(image);
  edit(json);
  for (const offsetBytes of [0, hdrSizeOf(image)]) putJsonText(changed, JSON.stringify(json), offsetBytes);
  return changed;
}

/** `withJson` on the header file `file`, in place. */
export function editJson(file: string, edit: (json: LooseJson) => unknown): void {
  fs.writeFileSync(file, withJson(fs.readFileSync(file), edit));
}
