/**
 * Random edits of a plaintext file and of the buffer that says what it must hold.
 */
import fs from 'node:fs';
import type { Random } from './random.js';

/**
 * Writes `count` random extents, aligned and not, into `file` and into `model`, and ends with fsync.
 * The file's size must be that of the model.
 */
export function editAtRandom(file: string, model: Buffer, random: Random, count: number): void {
  const fd = fs.openSync(file, 'r+');
  try {
    for (let i = 0; i < count; i += 1) {
      const unit = random.pick([1, 512, 4096]);
      const offset = random.below(Math.floor(model.length / unit)) * unit;
      const longest = Math.min(random.pick([16, 5000, 300_000]), model.length - offset);
      const bytes = random.bytes(Math.min(Math.ceil(random.between(1, longest) / unit) * unit, longest));
      fs.writeSync(fd, bytes, 0, bytes.length, offset);
      bytes.copy(model, offset);
    }
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
