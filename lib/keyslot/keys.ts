/**
 * Passphrases added, changed and removed. Each is one change of the header: the new key material is on
 * storage before any metadata names it, and old material is overwritten as soon as nothing needs it.
 */
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { changeHeader, planKeyslotWipes, planWipe, type WriteStep } from '../format/change.js';
import { requireFreeId, withKeyslot, withoutKeyslots } from '../format/edit.js';
import { readHeader } from '../format/header.js';
import { findDigestOf, isPassphraseKeyslot, isUnbound, type LuksHeader } from '../format/model.js';
import { requireNoUnknownRequirements } from '../format/requirements.js';
import { planMetadata } from '../format/write.js';
import { lockImage } from '../image-lock.js';
import { makeKeyslot, type NewKeyslot, type NewKeyslotOptions, placeKeyslot } from './new-keyslot.js';
import type { OpenKeyslotOptions } from './open.js';
import { requireStillOpening, requireVolumeKey, type Unlock, type Unlocked } from './unlock.js';

/** The new passphrase, or what asks for it: only when the old one has opened. The bytes stay the caller's. */
export type NewPassphrase = Uint8Array | (() => Promise<Uint8Array>);

/** Keyslot `id` of `header` for the volume key that opened it, which is destroyed. */
async function makeFrom(
  header: LuksHeader,
  id: number,
  { volumeKey }: Unlocked,
  newPassphrase: NewPassphrase,
  options: NewKeyslotOptions,
): Promise<NewKeyslot> {
  try {
    const passphrase = newPassphrase instanceof Uint8Array ? newPassphrase : await newPassphrase();
    return await makeKeyslot(header, id, volumeKey.bytes, passphrase, options);
  } finally {
    volumeKey.destroy();
  }
}

/** A new passphrase for the volume. Resolves to its keyslot. Throws BAD_PASSPHRASE, BAD_ARGUMENT, BUSY. */
export async function addKey(
  device: Device,
  unlock: Unlock,
  newPassphrase: NewPassphrase,
  options: NewKeyslotOptions = {},
): Promise<number> {
  const requireFree = (header: LuksHeader) => {
    requireNoUnknownRequirements(header, 'add a key');
    return requireFreeId(header, 'keyslots', options.keyslot);
  };
  const before = readHeader(device);
  const probableId = requireFree(before);
  const opened = await requireVolumeKey(device, before, unlock);
  const made = await makeFrom(before, probableId, opened, newPassphrase, options);
  return changeHeader(device, (header) => {
    requireStillOpening(device, before, header, opened);
    const id = requireFree(header);
    const { keyslot, material } = placeKeyslot(header, id, made);
    const changed = withKeyslot(header, id, keyslot, opened.digestId);
    return { steps: [material, ...planMetadata(header, changed)], result: id };
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
export async function changeKey(
  device: Device,
  passphrase: Uint8Array,
  newPassphrase: NewPassphrase,
  options: Omit<NewKeyslotOptions, 'keyslot' | 'priority'> & { unlock?: OpenKeyslotOptions } = {},
): Promise<number> {
  const { unlock, ...rest } = options;
  const before = readHeader(device);
  requireNoUnknownRequirements(before, 'change a key');
  const opened = await requireVolumeKey(device, before, { includeUnbound: true, ...unlock, passphrase });
  const oldId = opened.keyslot!;
  const old = before.keyslots.get(oldId)!;
  const placeFor = (header: LuksHeader) =>
    header.version === 2 ? oldId : requireFreeId(header, 'keyslots', undefined);
  const newOptions = { ...rest, priority: old.priority };
  const made = await makeFrom(before, placeFor(before), opened, newPassphrase, newOptions);
  return changeHeader(device, (header) => {
    requireNoUnknownRequirements(header, 'change a key');
    requireStillOpening(device, before, header, opened);
    const id = placeFor(header);
    const { keyslot, material } = placeKeyslot(header, id, made);
    const replaced = withKeyslot(header, id, keyslot, opened.digestId);
    const ending =
      id === oldId ? planWipe(`old area of keyslot ${id}`, old.area!) : planRemoval(replaced, [oldId]);
    return { steps: [material, ...planMetadata(header, replaced), ...ending], result: id };
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
export async function removeKey(
  device: Device,
  passphrase: Uint8Array,
  options: RemovalOptions & { unlock?: OpenKeyslotOptions } = {},
): Promise<number> {
  const before = readHeader(device);
  const unlock = { includeUnbound: true, ...options.unlock, passphrase };
  const opened = await requireVolumeKey(device, before, unlock);
  opened.volumeKey.destroy();
  const keyslot = opened.keyslot!;
  return changeHeader(device, (header) => {
    requireStillOpening(device, before, header, opened);
    if (!options.force) requireAnotherKey(header, [keyslot]);
    return { steps: planRemoval(header, [keyslot]), result: keyslot };
  });
}

/** Destroys a keyslot, without a passphrase of it. */
export function killSlot(device: Device, keyslot: number, options: RemovalOptions = {}): Promise<void> {
  return changeHeader(device, (header) => {
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
  return changeHeader(device, (header) => {
    const all = [...header.keyslots].filter(([, { type }]) => type !== 'reencrypt').map(([id]) => id);
    return { steps: planRemoval(header, all), result: undefined };
  });
}
