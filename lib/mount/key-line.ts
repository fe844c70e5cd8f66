/**
 * Volume keys from a command to a daemon of the same user that runs already: the one who has them listens on a socket in
 * the directory that only this user enters, and the one process that it is meant for gets them, once, from locked memory
 * into locked memory.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Secret, type VolumeKeys } from '../crypto/secret.js';
import { LuksError } from '../errors.js';
import { peerPid } from '../native/socket.js';
import { openRuntimeDirectory } from './registry.js';

/** Where keys can be had. Plain data. */
export interface KeyOffer {
  path: string;
  /** In the order in which their bytes come. */
  shapes: readonly { digest: number; sizeBytes: number }[];
}

/** Who offers keys sends them at once. */
const KEYS_MS = 10_000;
/** No two volume keys are longer together. */
const MAX_BYTES = 4096;

/** By node's own number of the descriptor, which it has no public name for. */
function isProcess(socket: net.Socket, pid: number): boolean {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const peer = peerPid(fd);
  return peer === null || peer === pid;
}

/** Offers the keys to the process `pid`, once, as long as `use` takes. */
export async function withKeyOffer<T>(
  keys: VolumeKeys,
  pid: number,
  use: (offer: KeyOffer) => Promise<T>,
): Promise<T> {
  const shapes = [...keys].map(([digest, { sizeBytes }]) => ({ digest, sizeBytes }));
  const offer = { path: path.join(openRuntimeDirectory(), `${process.pid}.keys`), shapes };
  let visitor: net.Socket | null = null;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    if (!isProcess(socket, pid) || !server.listening) {
      socket.destroy();
      return;
    }
    server.close();
    visitor = socket;
    for (const { bytes } of keys.values()) socket.write(bytes);
    socket.end();
  });
  fs.rmSync(offer.path, { force: true }); // of an earlier process with this number
  server.listen(offer.path);
  await once(server, 'listening');
  try {
    return await use(offer);
  } finally {
    server.close();
    // One that is stopped would never end it.
    (visitor as net.Socket | null)?.destroy();
  }
}

/**
 * The keys that are offered. The caller destroys them. Throws DEVICE_IO where they do not come, or others do.
 * @param silenceMs after which they do not come
 */
export async function fetchKeys({ path: from, shapes }: KeyOffer, silenceMs = KEYS_MS): Promise<VolumeKeys> {
  const totalBytes = shapes.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
  if (!(totalBytes <= MAX_BYTES)) throw new LuksError('BAD_ARGUMENT', 'more than the keys of one volume');
  const [all, piece] = [Secret.allocate(MAX_BYTES), Secret.allocate(MAX_BYTES)];
  try {
    let doneBytes = 0;
    const socket = net.connect({
      path: from,
      onread: {
        buffer: piece.bytes,
        callback: (count, bytes) => {
          if (count <= all.sizeBytes - doneBytes) all.bytes.set(bytes.subarray(0, count), doneBytes);
          doneBytes += count;
          if (doneBytes > totalBytes) socket.destroy();
          return true;
        },
      },
    });
    socket.setTimeout(silenceMs, () => socket.destroy());
    // Not once(): where nobody listens, that is an error of the socket's, and then it closes.
    await new Promise((resolve) => socket.on('error', () => {}).on('close', resolve));
    if (doneBytes !== totalBytes) throw new LuksError('DEVICE_IO', 'the keys did not come');
    return splitKeys(all.bytes, shapes);
  } finally {
    all.destroy();
    piece.destroy();
  }
}

function splitKeys(bytes: Uint8Array, shapes: KeyOffer['shapes']): VolumeKeys {
  const keys = new Map<number, Secret>();
  let at = 0;
  for (const { digest, sizeBytes } of shapes) {
    keys.set(digest, Secret.takeFrom(bytes.subarray(at, at + sizeBytes)));
    at += sizeBytes;
  }
  return keys;
}
