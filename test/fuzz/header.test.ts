/**
 * Headers with anything in them: reading ends in a header or in a LuksError, never in another exception, and
 * a header that was read can be shown.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { Device } from '../../lib/device.js';
import { LuksError } from '../../lib/errors.js';
import { describeHeader, headerText } from '../../lib/format/describe.js';
import { findHeader } from '../../lib/format/header.js';
import { formatVolume } from '../../lib/volume/create.js';
import { places } from '../kit/json-edits.js';
import { hdrSizeOf, putJsonText, readJson } from '../kit/luks2-image.js';
import { makeTempDir } from '../kit/temp.js';

const RUNS = 400;

async function makeHeader(t: Test, version: 1 | 2): Promise<{ file: string; image: Buffer }> {
  const dir = makeTempDir(t);
  const [header, payload] = [path.join(dir, 'header'), path.join(dir, 'payload')];
  fs.writeFileSync(payload, randomBytes(65536));
  const pbkdf = { type: 'pbkdf2', forceIterations: 1000 } as const;
  const sizes = version === 2 ? { keyslotsSizeBytes: 262144 } : {};
  await formatVolume({ header, payload }, Buffer.from('x'), { version, pbkdf, ...sizes });
  return { file: header, image: fs.readFileSync(header) };
}

/** True where reading the file ends as it should. */
function endsWell(file: string): boolean {
  const device = Device.open(file, { isReadOnly: true });
  try {
    const header = findHeader(device);
    if (header) JSON.stringify([describeHeader(header), headerText(header)]);
    return true;
  } catch (error) {
    if (error instanceof LuksError) return true;
    throw error;
  } finally {
    device.close();
  }
}

t.test('LUKS2: any value at any place of the JSON', async (t) => {
  const { file, image } = await makeHeader(t, 2);
  const values = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom('', '0', '18446744073709551615', -1, 1e300, [], {}),
  );
  fc.assert(
    fc.property(fc.nat(), values, fc.boolean(), (at, value, isRemoved) => {
      const json = readJson(image);
      const all = places(json);
      const [parent, key] = all[at % all.length]!;
      if (isRemoved) delete parent[key];
      else parent[key] = value;
      const changed = Buffer.from(image);
      for (const offsetBytes of [0, hdrSizeOf(image)])
        putJsonText(changed, JSON.stringify(json), offsetBytes);
      fs.writeFileSync(file, changed);
      return endsWell(file);
    }),
    { numRuns: RUNS },
  );
});

for (const version of [1, 2] as const) {
  t.test(`LUKS${version}: any bytes at any place of the binary header, any length`, async (t) => {
    const { file, image } = await makeHeader(t, version);
    const at = fc.nat({ max: version === 1 ? 1023 : 4200 });
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 });
    const length = fc.option(fc.nat({ max: image.length }), { nil: image.length, freq: 4 });
    fc.assert(
      fc.property(at, bytes, length, (offsetBytes, noise, sizeBytes) => {
        const changed = Buffer.from(image);
        changed.set(noise, offsetBytes);
        fs.writeFileSync(file, changed.subarray(0, sizeBytes));
        return endsWell(file);
      }),
      { numRuns: RUNS },
    );
  });
}
