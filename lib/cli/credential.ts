/**
 * Unlocking with the key that the options name, that the system has ready, or that is typed: one place for
 * every command.
 */
import { wipe } from '../bytes.js';
import { NO_KDF_LIMITS } from '../crypto/kdf.js';
import type { VolumeKeys } from '../crypto/secret.js';
import { MemoryDevice } from '../device.js';
import { LuksError } from '../errors.js';
import {
  findTokenPassphrase,
  type KeyringToken,
  listKeyringTokens,
  readTokenPassphrase,
  requireKeyringToken,
} from '../keyslot/keyring-token.js';
import type { OpenKeyslotOptions } from '../keyslot/open.js';
import { requireVolumeKey, type Unlock, type Unlocked } from '../keyslot/unlock.js';
import { hasCredential, PASSPHRASE_CREDENTIAL } from '../keysource/credential-file.js';
import { readKeySource } from '../keysource/source.js';
import type { LocatedHeader, LocatedVolume } from '../volume/locate.js';
import { unlockKeys } from '../volume/open.js';
import { type CredentialOptions, findKeySource } from './credential-options.js';
import { headerDescriptor } from './header.js';
import { tell } from './output.js';
import { readStdinLine } from './stdin-line.js';
import { askPassphrase } from './terminal.js';

/** As udev and systemd name a volume that nobody gave a name. */
function volumeName(located: LocatedHeader): string {
  return `luks-${located.header.uuid}`;
}

/** A token's passphrase is for its own keyslots. Null where `-S` names another one. */
function tokenOptions(token: KeyringToken, options: OpenKeyslotOptions): OpenKeyslotOptions | null {
  const { keyslot } = options;
  if (keyslot !== undefined) return token.keyslots.includes(keyslot) ? options : null;
  return { ...options, among: token.keyslots };
}

function namedToken(located: LocatedHeader, id: number, options: OpenKeyslotOptions): Unlock {
  const token = requireKeyringToken(located.header, id);
  const narrowed = tokenOptions(token, options);
  if (narrowed) return { passphrase: readTokenPassphrase(token), ...narrowed };
  throw new LuksError(
    'BAD_ARGUMENT',
    `--token-id ${id} and --key-slot ${options.keyslot} do not fit: the token is for ${token.keyslots.join(', ')}`,
  );
}

/** One for each key: it is tried once, for the keyslots of all tokens that name it. */
function keyringKeys(located: LocatedHeader): KeyringToken[] {
  const keys = new Map<string, KeyringToken>();
  for (const token of listKeyringTokens(located.header)) {
    const keyslots = keys.get(token.keyDescription)?.keyslots ?? [];
    keys.set(token.keyDescription, { ...token, keyslots: [...keyslots, ...token.keyslots] });
  }
  return [...keys.values()];
}

/** What the system has ready for this volume, as cryptsetup and systemd-cryptsetup look for it. */
async function* readyKeys(located: LocatedHeader, options: OpenKeyslotOptions): AsyncGenerator<Unlock> {
  for (const token of keyringKeys(located)) {
    const narrowed = tokenOptions(token, options);
    const passphrase = narrowed && findTokenPassphrase(token);
    if (passphrase) yield { passphrase, ...narrowed };
  }
  if (!hasCredential(PASSPHRASE_CREDENTIAL)) return;
  const passphrase = await readKeySource({ credential: PASSPHRASE_CREDENTIAL }, volumeName(located));
  yield { passphrase, ...options };
}

/** Typed on the terminal, or the first line of a standard input that is none and is not the header. */
async function* personalKeys(
  located: LocatedHeader,
  options: CredentialOptions,
  slotOptions: OpenKeyslotOptions,
): AsyncGenerator<Unlock> {
  const isTyped = process.stdin.isTTY === true || headerDescriptor(options) === 0;
  if (!isTyped) {
    yield { passphrase: readStdinLine(), ...slotOptions };
    return;
  }
  const { device, header } = located;
  const what = device instanceof MemoryDevice ? `volume ${header.uuid}` : device.path;
  for (let attempt = 1; attempt <= Math.max(1, options.tries); attempt++) {
    if (attempt > 1) tell('No keyslot opens with this passphrase.');
    const passphrase = await askPassphrase(`Enter passphrase for ${what}: `);
    yield { passphrase, ...slotOptions };
  }
}

/** The one key that the options name; null where they leave it open. */
async function findNamedKey(
  located: LocatedHeader,
  options: CredentialOptions,
  slotOptions: OpenKeyslotOptions,
): Promise<Unlock | null> {
  if (options.tokenId !== undefined) return namedToken(located, options.tokenId, slotOptions);
  const source = findKeySource(options);
  if (!source) return null;
  const bytes = await readKeySource(source, volumeName(located));
  const isVolumeKey = options.volumeKeyFile !== undefined;
  return { ...(isVolumeKey ? { volumeKey: bytes } : { passphrase: bytes }), ...slotOptions };
}

/** The keys to try, in order. */
async function* listKeys(
  located: LocatedHeader,
  options: CredentialOptions,
  takesReadyKeys: boolean,
): AsyncGenerator<Unlock> {
  const slotOptions: OpenKeyslotOptions = {
    ...(options.keySlot !== undefined && { keyslot: options.keySlot }),
    ...(options.forceKdfLimits && { limits: NO_KDF_LIMITS }),
    ...(options.allowNullCipher && { allowNullCipher: true }),
  };
  const named = await findNamedKey(located, options, slotOptions);
  if (named) {
    yield named;
    return;
  }
  if (takesReadyKeys) yield* readyKeys(located, slotOptions);
  yield* personalKeys(located, options, slotOptions);
}

/** Has one key after the other used until one fits; the others are answered by BAD_PASSPHRASE. */
async function useFirstFit<T>(keys: AsyncIterable<Unlock>, use: (unlock: Unlock) => Promise<T>): Promise<T> {
  let misfit: LuksError | null = null;
  for await (const unlock of keys) {
    try {
      return await use(unlock);
    } catch (error) {
      if (!(error instanceof LuksError && error.code === 'BAD_PASSPHRASE')) throw error;
      misfit = error;
    } finally {
      wipe('passphrase' in unlock ? unlock.passphrase : unlock.volumeKey);
    }
  }
  throw misfit;
}

/**
 * Has the key that `options` name used, or else one that is typed: that is asked for again where it does not fit
 * (BAD_PASSPHRASE). The bytes are wiped afterwards.
 */
export function withKey<T>(
  located: LocatedHeader,
  options: CredentialOptions,
  use: (unlock: Unlock) => Promise<T>,
): Promise<T> {
  return useFirstFit(listKeys(located, options, false), use);
}

/**
 * The volume key behind the key that `options` name, else behind one that the system has ready, else behind a typed
 * one. The caller destroys it. For a volume that is to be used there is `unlockVolumeWith`.
 */
export function unlockWith(located: LocatedHeader, options: CredentialOptions): Promise<Unlocked> {
  const { device, header } = located;
  return useFirstFit(listKeys(located, options, true), (unlock) => requireVolumeKey(device, header, unlock));
}

/** The keys that the volume takes, behind the same. The caller destroys them. */
export function unlockVolumeWith(located: LocatedVolume, options: CredentialOptions): Promise<VolumeKeys> {
  return useFirstFit(listKeys(located, options, true), (unlock) => unlockKeys(located, unlock));
}
