/**
 * A process that writes only its own stripes of a file that other processes write too. Stripes are shorter
 * than a sector and end anywhere, so that every sector has several writers and none may undo another.
 *
 * node stripe-writer.js FILE STATE INDEX WRITERS STRIPE_BYTES OPERATIONS SEED
 *
 * It leaves in STATE what the whole file would hold if it had been alone.
 */
import fs from 'node:fs';
import { Random } from './random.js';

const { O_RDWR, O_DIRECT } = fs.constants;

const [file, state] = process.argv.slice(2, 4) as [string, string];
const [index, writers, stripeBytes, operations, seed] = process.argv.slice(4).map(Number) as [
  number,
  number,
  number,
  number,
  number,
];

const random = new Random(seed);
const model = fs.readFileSync(state);
const stripeCount = Math.floor(model.length / stripeBytes);
const handles = [fs.openSync(file, O_RDWR), fs.openSync(file, O_RDWR | O_DIRECT)];

for (let i = 0; i < operations; i += 1) {
  const stripe = Math.floor(random.below(stripeCount - writers) / writers) * writers + index;
  const skipped = random.below(stripeBytes);
  const offset = stripe * stripeBytes + skipped;
  const data = random.bytes(random.between(1, stripeBytes - skipped));
  const fd = random.pick(handles);
  fs.writeSync(fd, data, 0, data.length, offset);
  data.copy(model, offset);
  if (random.oneIn(200)) fs.fsyncSync(fd);
  const seen = Buffer.alloc(data.length);
  fs.readSync(random.pick(handles), seen, 0, seen.length, offset);
  if (!seen.equals(data)) throw new Error(`writer ${index}: its own bytes at ${offset} are gone`);
}
for (const fd of handles) fs.closeSync(fd);
fs.writeFileSync(state, model);
