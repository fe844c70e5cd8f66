/**
 * `luksfuse decrypt` of a payload that begins with its header: that goes to a new file, and the data gets its room.
 */
import { destroyKeys } from '../crypto/secret.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { findReadableHeader, isLuks, readHeader } from '../format/header.js';
import { findGiveback } from '../format/reencryption-giveback.js';
import { lockImage } from '../image-lock.js';
import type { Unlock } from '../keyslot/unlock.js';
import { isSameFile } from '../volume/header-file.js';
import { openGiveback } from '../volume/reencrypt-giveback.js';
import { beginGiveback } from '../volume/reencrypt-giveback-begin.js';
import { moveHead } from '../volume/reencrypt-giveback-head.js';
import { confirm } from './ask.js';
import { withKey } from './credential.js';
import { beginOptions, type ReencryptCommandOptions } from './reencrypt-options.js';
import { type Devices, finishReencryption, printBegun, withDevices } from './reencrypt-run.js';

/** With --init-only the head of the data is copied all the same: the record that others go on with says that it is there. */
async function goOn(devices: Devices, unlock: Unlock, options: ReencryptCommandOptions): Promise<void> {
  if (!options.initOnly) return finishReencryption(devices, unlock, options);
  const { device, payload } = devices;
  const { giveback, keys } = await openGiveback(device, payload, unlock);
  destroyKeys(keys);
  await moveHead(device, payload, giveback);
  printBegun(device, options);
}

/** Where the same command was cut short before. Throws BAD_ARGUMENT where it was another. */
export async function continueGiveback(devices: Devices, options: ReencryptCommandOptions): Promise<void> {
  const { device } = devices;
  const header = readHeader(device);
  const begun = findGiveback(header)!;
  const { resilience, resilienceHash, direction } = beginOptions(options);
  const isSame =
    (resilience ?? begun.resilience) === begun.resilience &&
    (resilienceHash ?? begun.hash) === begun.hash &&
    (direction ?? begun.direction) === begun.direction;
  if (!isSame) {
    throw new LuksError('BAD_ARGUMENT', 'it was begun in another way; go on with --resume-only instead');
  }
  await withKey({ device, header }, options, (unlock) => goOn(devices, unlock, options));
}

/** Begins, and unless --init-only does the work. @param headerPath of a file that is not there */
export async function decryptAttached(
  payloadPath: string,
  headerPath: string,
  options: ReencryptCommandOptions,
): Promise<void> {
  if (!probe(payloadPath, isLuks)) {
    throw new LuksError(
      'NOT_LUKS',
      `${headerPath} does not exist, and ${payloadPath} carries no LUKS header`,
    );
  }
  const { hotzoneSize } = options;
  const how = { ...beginOptions(options), ...(hotzoneSize !== undefined && { zoneBytes: hotzoneSize }) };
  await withDevices(payloadPath, undefined, async ({ payload }) => {
    confirm(
      `All of ${payloadPath} will be plaintext, from its first byte on; its header goes to ${headerPath}, and the keys ` +
        'in it are destroyed in the end',
      options,
    );
    const header = readHeader(payload);
    await withKey({ device: payload, header }, options, async (unlock) => {
      await beginGiveback(payload, headerPath, unlock, how);
      const device = Device.open(headerPath, { isReadOnly: false });
      try {
        lockImage(device, 'writer');
        await goOn({ device, payload }, unlock, options);
      } finally {
        device.close();
      }
    });
  });
}

function probe<T>(path: string, use: (device: Device) => T): T {
  const device = Device.open(path, { isReadOnly: true });
  try {
    return use(device);
  } finally {
    device.close();
  }
}

/** Throws BAD_ARGUMENT where the file is there and can be no detached header of the payload. */
export function requireDetached(payloadPath: string, headerPath: string): void {
  const unfit = (what: string) =>
    new LuksError(
      'BAD_ARGUMENT',
      `${headerPath} ${what}; give the detached header, or, for a payload that begins with its header, a new file`,
    );
  if (isSameFile(headerPath, payloadPath)) throw unfit('is the payload itself');
  const header = probe(headerPath, (device) => (isLuks(device) ? readHeader(device) : null));
  if (!header) throw unfit('exists and holds no LUKS header');
  const there = probe(payloadPath, findReadableHeader);
  // What opens the payload by its own header would take the plaintext for ciphertext.
  if (there?.uuid === header.uuid && !findGiveback(header)) {
    throw unfit(`is a copy of the header that ${payloadPath} begins with`);
  }
}
