/**
 * Changes to a LUKS2 header that need no key: names, priorities, flags, tokens.
 */
import { encodeCString } from '../bytes.js';
import type { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { changeHeader } from './change.js';
import { editHeader, requireFreeId } from './edit.js';
import { type JsonObject, objectMember } from './json.js';
import { NAME_BYTES } from './luks2-binary.js';
import type { LuksHeader, Priority } from './model.js';
import { requireNoUnknownRequirements } from './requirements.js';
import { planMetadata } from './write.js';

export interface Settings {
  /** At most 47 bytes; empty for none. */
  label?: string;
  subsystem?: string;
  priorities?: readonly { keyslot: number; priority: Priority }[];
  /** All persistent activation flags, instead of those there are: `allow-discards`. */
  flags?: readonly string[];
}

/** Runs a change that LUKS1 has no place for. */
function changeLuks2<T>(
  device: Device,
  operation: string,
  change: (header: LuksHeader) => { changed: LuksHeader; result: T },
): Promise<T> {
  return changeHeader(device, (header) => {
    requireNoUnknownRequirements(header, operation);
    if (header.version === 1) {
      throw new LuksError(
        'BAD_ARGUMENT',
        `cannot ${operation}: LUKS1 has no place for it; convert to LUKS2 first`,
      );
    }
    const { changed, result } = change(header);
    return { steps: planMetadata(header, changed), result };
  });
}

function requireKeyslot(header: LuksHeader, keyslot: number): void {
  if (!header.keyslots.has(keyslot))
    throw new LuksError(
      'BAD_ARGUMENT',
      `keyslot ${keyslot} is not active; see which are with: luksfuse dump`,
    );
}

/** Sets what `settings` names and leaves the rest. Throws BAD_ARGUMENT, UNSUPPORTED, BUSY. */
export function configure(device: Device, settings: Settings): Promise<void> {
  return changeLuks2(device, 'configure the header', (header) => {
    const { label = header.label, subsystem = header.subsystem, priorities = [], flags } = settings;
    for (const name of [label, subsystem]) encodeCString(name, NAME_BYTES);
    const edited = editHeader(header, (document) => {
      for (const { keyslot, priority } of priorities) {
        requireKeyslot(header, keyslot);
        objectMember(objectMember(document, 'keyslots'), String(keyslot)).priority = priority;
      }
      if (flags) objectMember(document, 'config').flags = [...flags];
    });
    return { changed: { ...edited, label, subsystem }, result: undefined };
  });
}

/**
 * Adds a token, its JSON object as the header will have it: at least a `type`, and `keyslots` with ids of
 * active ones. Resolves to its id.
 */
export function addToken(device: Device, token: JsonObject, id?: number): Promise<number> {
  return changeLuks2(device, 'add a token', (header) => {
    const free = requireFreeId(header, 'tokens', id);
    const changed = editHeader(header, (document) => {
      objectMember(document, 'tokens')[free] = structuredClone(token);
    });
    return { changed, result: free };
  });
}

/** A token that names a passphrase in the kernel's keyring, as cryptsetup's `token add` makes it. */
export function keyringToken(keyDescription: string, keyslots: readonly number[]): JsonObject {
  return { type: 'luks2-keyring', keyslots: keyslots.map(String), key_description: keyDescription };
}

export function removeToken(device: Device, id: number): Promise<void> {
  return changeLuks2(device, 'remove a token', (header) => {
    if (!header.tokens.has(id))
      throw new LuksError(
        'BAD_ARGUMENT',
        `token ${id} does not exist; see which do with: luksfuse token list`,
      );
    const changed = editHeader(header, (document) => {
      delete objectMember(document, 'tokens')[id];
    });
    return { changed, result: undefined };
  });
}
