/**
 * Passphrases added, changed and removed. Each is one change of the header: the new key material is on
 * storage before any metadata names it, and old material is overwritten as soon as nothing needs it.
 */

import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { changeHeader, planKeyslotWipes, planWipe, type WriteStep } from '../format/change.js';
import { requireFreeId, withKeyslot, withoutKeyslots } from '../format/edit.js';
import { findDigestOf, isPassphraseKeyslot, isUnbound, type LuksHeader } from '../format/model.js';
import { requireNoUnknownRequirements } from '../format/requirements.js';
import { planMetadata } from '../format/write.js';
import { lockImage } from '../image-lock.js';
import { makeKeyslot, type NewKeyslotOptions } from './new-keyslot.js';
import type { OpenKeyslotOptions } from './open.js';
import { requireVolumeKey, type Unlock } from './unlock.js';

/** A new passphrase for the volume. Resolves to its keyslot. Throws BAD_PASSPHRASE, BAD_ARGUMENT, BUSY. */
export function addKey(
  device: Device,
  unlock: Unlock,
  newPassphrase: Uint8Array,
  options: NewKeyslotOptions = {},
): Promise<number> {
  return changeHeader(device, async (header) => {
    requireNoUnknownRequirements(header, 'add a key');
    const id = requireFreeId(header, 'keyslots', options.keyslot);
    const { volumeKey, digestId } = await requireVolumeKey(device, header, unlock);
    try {
      const { keyslot, material } = await makeKeyslot(header, id, volumeKey.bytes, newPassphrase, options);
      const changed = withKeyslot(header, id, keyslot, digestId);
      return { steps: [material, ...planMetadata(header, changed)], result: id };
    } finally {
      volumeKey.destroy();
    }
  });
}

/** The writes that destroy keyslots: their material first, for that is what must not survive a cut. */
function planRemoval(header: LuksHeader, keyslots: readonly number[]): WriteStep[] {
  return [...planKeyslotWipes(header, keyslots), ...planMetadata(header, withoutKeyslots(header, keyslots))];
}

/**
 * A new passphrase instead of the one given, with its priority and tokens. Resolves to the keyslot: the same
 * for LUKS2; for LUKS1, whose keyslots cannot move, another. Until the new one is in place the old one is.
 */
export function changeKey(
  device: Device,
  passphrase: Uint8Array,
  newPassphrase: Uint8Array,
  options: Omit<NewKeyslotOptions, 'keyslot' | 'priority'> & { unlock?: OpenKeyslotOptions } = {},
): Promise<number> {
  const { unlock, ...rest } = options;
  return changeHeader(device, async (header) => {
    requireNoUnknownRequirements(header, 'change a key');
    const opened = await requireVolumeKey(device, header, { includeUnbound: true, ...unlock, passphrase });
    const oldId = opened.keyslot!;
    const old = header.keyslots.get(oldId)!;
    try {
      const id = header.version === 2 ? oldId : requireFreeId(header, 'keyslots', undefined);
      const newOptions = { ...rest, priority: old.priority };
      const made = await makeKeyslot(header, id, opened.volumeKey.bytes, newPassphrase, newOptions);
      const replaced = withKeyslot(header, id, made.keyslot, opened.digestId);
      const ending =
        id === oldId ? planWipe(`old area of keyslot ${id}`, old.area!) : planRemoval(replaced, [oldId]);
      return { steps: [made.material, ...planMetadata(header, replaced), ...ending], result: id };
    } finally {
      opened.volumeKey.destroy();
    }
  });
}

function requireAnotherKey(header: LuksHeader, removed: readonly number[]): void {
  const isLeft = [...header.keyslots].some(
    ([id, keyslot]) => !removed.includes(id) && isPassphraseKeyslot(keyslot) && !isUnbound(header, id),
  );
  if (isLeft) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    'this would remove the last key of the volume and make its data unreadable for ever; give --force if that is meant',
  );
}

export interface RemovalOptions {
  /** Also where no other key of the volume would be left. */
  force?: boolean;
}

/** Destroys the keyslot that `passphrase` opens. Resolves to it. */
export function removeKey(
  device: Device,
  passphrase: Uint8Array,
  options: RemovalOptions & { unlock?: OpenKeyslotOptions } = {},
): Promise<number> {
  return changeHeader(device, async (header) => {
    const unlock = { includeUnbound: true, ...options.unlock, passphrase };
    const { volumeKey, keyslot } = await requireVolumeKey(device, header, unlock);
    volumeKey.destroy();
    if (!options.force) requireAnotherKey(header, [keyslot!]);
    return { steps: planRemoval(header, [keyslot!]), result: keyslot! };
  });
}

/** Destroys a keyslot, without a passphrase of it. */
export function killSlot(device: Device, keyslot: number, options: RemovalOptions = {}): Promise<void> {
  return changeHeader(device, async (header) => {
    const type = header.keyslots.get(keyslot)?.type;
    if (type === undefined) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `keyslot ${keyslot} is not active; see: luksfuse dump ${device.path}`,
      );
    }
    if (type === 'reencrypt') {
      throw new LuksError(
        'BAD_ARGUMENT',
        `keyslot ${keyslot} holds the state of a reencryption; finish that with: luksfuse reencrypt --resume-only`,
      );
    }
    if (!options.force && findDigestOf(header, keyslot)) requireAnotherKey(header, [keyslot]);
    return { steps: planRemoval(header, [keyslot]), result: undefined };
  });
}

/**
 * Destroys all keyslots: without a backup of the header nothing opens the volume again. Claims `device` as a writer until
 * it is closed: BUSY while the volume is mounted.
 */
export async function erase(device: Device): Promise<void> {
  lockImage(device, 'writer');
  return changeHeader(device, async (header) => {
    const all = [...header.keyslots].filter(([, { type }]) => type !== 'reencrypt').map(([id]) => id);
    return { steps: planRemoval(header, all), result: undefined };
  });
}
