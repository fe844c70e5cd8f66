import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Secret } from '../../../lib/crypto/secret.js';
import { Device } from '../../../lib/device.js';
import { ZoneTeam } from '../../../lib/volume/reencrypt-team.js';

const MiB = 1024 * 1024;

t.test('threads that end are not waited for', async (t) => {
  const file = path.join(t.testdir(), 'payload');
  fs.writeFileSync(file, Buffer.alloc(8 * MiB));
  const device = Device.open(file, { isReadOnly: false });
  const shape = {
    ...{ dataOffsetBytes: 0, previous: null, hash: 'sha256', blockSizeBytes: 4096 },
    final: { encryption: 'aes-xts-plain64', sectorSizeBytes: 512 },
  };
  const key = Secret.takeFrom(Buffer.alloc(64, 1));
  // What the other threads get of it is no key.
  const broken = Object.create(key, {
    bytes: { value: key.bytes },
    handle: { value: { shared: new SharedArrayBuffer(3) } },
  }) as Secret;
  const team = new ZoneTeam(device, shape, { previous: null, final: broken }, 2);
  const zone = { offsetBytes: 0, sizeBytes: 8 * MiB };
  await t.rejects(team.convert(zone));
  await t.rejects(team.convert(zone), 'also once they are gone');
  await team.close();
  device.close();
  key.destroy();
});
