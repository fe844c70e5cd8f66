/**
 * The proof on one LUKS1 image that QEMU made and filled: read through the mount, written through the mount, and
 * checked by qemu-io; attached, and as a detached pair cut from the image.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { mountVolume, mustLuksfuse } from './luksfuse.js';
import { editAtRandom } from './payload-edits.js';
import { createImage, qemuIo, readPlaintext } from './qemu.js';
import { seededRandom } from './random.js';
import { makeTempDir } from './temp.js';

const MiB = 1024 * 1024;
const SIZE_BYTES = 4 * MiB;
/** LUKS1 on-disk format, "payload-offset": big-endian, in 512-byte sectors. */
const PAYLOAD_OFFSET_AT = 104;

export interface Image {
  image: string;
  keyFile: string;
}

/** A directory with the key file, and the name of an image in it that is not there yet. */
export function nameImage(t: Test): Image {
  const dir = makeTempDir(t);
  const [keyFile, image] = [path.join(dir, 'key'), path.join(dir, 'image')];
  fs.writeFileSync(keyFile, 'a key that QEMU can take');
  return { image, keyFile };
}

/** Has QEMU write something in the image. */
export async function fillImage({ image, keyFile }: Image): Promise<void> {
  await qemuIo(image, keyFile, ['write -P 0xa5 0 1M', 'write -P 0x5a 1537k 700k']);
}

/** A new image with something in it. QEMU takes seconds to make one: it measures its PBKDF2. */
export async function makeImage(t: Test, luks: Record<string, string>): Promise<Image> {
  const made = nameImage(t);
  await createImage(made.image, made.keyFile, { luks, sizeBytes: SIZE_BYTES });
  await fillImage(made);
  return made;
}

/** QEMU 7.2 knows no detached header, so ours is the image cut in two, with payload-offset 0. */
function cutImage(image: string): { header: string; payload: string; join: () => void } {
  const bytes = fs.readFileSync(image);
  const cut = bytes.readUInt32BE(PAYLOAD_OFFSET_AT) * 512;
  const [header, payload] = [`${image}.header`, `${image}.payload`];
  const head = Buffer.from(bytes.subarray(0, cut));
  head.writeUInt32BE(0, PAYLOAD_OFFSET_AT);
  fs.writeFileSync(header, head);
  fs.writeFileSync(payload, bytes.subarray(cut));
  const join = () =>
    fs.writeFileSync(image, Buffer.concat([bytes.subarray(0, cut), fs.readFileSync(payload)]));
  return { header, payload, join };
}

export async function checkImage(t: Test, { image, keyFile }: Image, isDetached: boolean): Promise<void> {
  const random = seededRandom((line) => t.comment(line));
  const model = await readPlaintext(image, keyFile);
  const parts = isDetached ? cutImage(image) : { header: null, payload: image, join: () => {} };
  const mount = await mountVolume(t, { ...parts, keyFile });
  t.ok(fs.readFileSync(mount.file).equals(model), 'the mount gives what QEMU reads');
  editAtRandom(mount.file, model, random, 60);
  model.fill(0x3c, 2 * MiB, 3 * MiB);
  const fd = fs.openSync(mount.file, 'r+');
  fs.writeSync(fd, model, 2 * MiB, MiB, 2 * MiB);
  fs.closeSync(fd);
  await mount.umount();
  parts.join();
  await qemuIo(image, keyFile, ['read -P 0x3c 2M 1M']);
  t.ok((await readPlaintext(image, keyFile)).equals(model), 'QEMU decrypts what was written');
  const cat = await mustLuksfuse(['cat', '--key-file', keyFile, image]);
  t.ok(cat.stdout.equals(model), 'cat gives it too');
}
