/**
 * Loaded before the program, makes the kernel look like one before Linux 6.9: FUSE_HAS_RESEND is not offered.
 */
import fs from 'node:fs';
import { FUSE_INIT, fuse_in_header, fuse_init_in, INIT_FLAGS } from '../../lib/fuse/abi.js';

const { bit } = INIT_FLAGS.find(({ name }) => name === 'FUSE_HAS_RESEND')!;
const ARGUMENTS_END = fuse_in_header.SIZE + fuse_init_in.flags2 + 4;
const readSync = fs.readSync as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  ...rest: unknown[]
) => number;

fs.readSync = ((fd: number, buffer: Uint8Array, offset: number, ...rest: unknown[]) => {
  const count = readSync(fd, buffer, offset, ...rest);
  const request = Buffer.from(buffer.buffer, buffer.byteOffset + offset, Math.max(0, count));
  const isWhole = count >= ARGUMENTS_END && request.readUInt32LE(fuse_in_header.len) === count;
  if (isWhole && request.readUInt32LE(fuse_in_header.opcode) === FUSE_INIT) {
    const at = fuse_in_header.SIZE + fuse_init_in.flags2;
    request.writeUInt32LE((request.readUInt32LE(at) & ~(1 << (bit - 32))) >>> 0, at);
  }
  return count;
}) as typeof fs.readSync;
