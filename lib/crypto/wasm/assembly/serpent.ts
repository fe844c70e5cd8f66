/**
 * Serpent over any number of blocks. A schedule is 704 bytes: 33 round keys of 16 bytes, and room for a last piece
 * of less than eight blocks, which is worked on as if it were whole.
 */
import { serpentDecrypt8 } from './serpent-decrypt.js';
import { serpentEncrypt8 } from './serpent-encrypt.js';

export { serpentSetKey } from './serpent-key.js';

const PIECE_OFFSET: usize = 576;
const PIECE_BYTES: usize = 128;

export function serpentEncrypt(schedule: usize, source: usize, target: usize, bytes: usize): void {
  for (; bytes >= PIECE_BYTES; bytes -= PIECE_BYTES, source += PIECE_BYTES, target += PIECE_BYTES) {
    serpentEncrypt8(schedule, source, target);
  }
  if (bytes == 0) return;
  const piece = schedule + PIECE_OFFSET;
  memory.copy(piece, source, bytes);
  serpentEncrypt8(schedule, piece, piece);
  memory.copy(target, piece, bytes);
}

export function serpentDecrypt(schedule: usize, source: usize, target: usize, bytes: usize): void {
  for (; bytes >= PIECE_BYTES; bytes -= PIECE_BYTES, source += PIECE_BYTES, target += PIECE_BYTES) {
    serpentDecrypt8(schedule, source, target);
  }
  if (bytes == 0) return;
  const piece = schedule + PIECE_OFFSET;
  memory.copy(piece, source, bytes);
  serpentDecrypt8(schedule, piece, piece);
  memory.copy(target, piece, bytes);
}
