/**
 * Loaded before the program, has the server of a mount die in the middle of a step of a reencryption, with noise over one block
 * of it, as soon as there is the file that this module's URL names. That file says where header and payload are.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { Device } from '../../lib/device.js';
import { readHeader } from '../../lib/format/header.js';
import { PAYLOAD_FD } from '../../lib/mount/order.js';

const trigger = new URL(import.meta.url).searchParams.get('trigger')!;
const { fdatasyncSync } = fs;

function findHotZone(path: string) {
  const device = Device.open(path, { isReadOnly: true });
  try {
    return readHeader(device).segments.find(({ flags }) => flags.includes('in-reencryption')) ?? null;
  } finally {
    device.close();
  }
}

fs.fdatasyncSync = (fd) => {
  if (fd === PAYLOAD_FD && fs.existsSync(trigger)) {
    const { header, payload } = JSON.parse(fs.readFileSync(trigger, 'utf8'));
    const hot = findHotZone(header);
    if (hot) {
      fs.rmSync(trigger);
      const file = fs.openSync(payload, 'r+');
      fs.writeSync(file, randomBytes(4096), 0, 4096, hot.offsetBytes + 4096);
      process.kill(process.pid, 'SIGKILL');
    }
  }
  fdatasyncSync(fd);
};
