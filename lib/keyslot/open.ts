/**
 * Passphrase → volume key, through the keyslots of a header. Only reads.
 */
import createDebug from 'debug';
import { wipe } from '../bytes.js';
import {
  DEFAULT_KDF_LIMITS,
  type Derivation,
  deriveKey,
  type KdfLimits,
  requireTotalWithin,
} from '../crypto/kdf.js';
import { Secret } from '../crypto/secret.js';
import type { ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import {
  findDigestOf,
  isNullCipher,
  isPassphraseKeyslot,
  isUnbound,
  type LuksHeader,
  type PassphraseKeyslot,
} from '../format/model.js';
import { readKeyMaterial, requireUsableArea } from './area.js';
import { digestDerivations, matchesDigest } from './digest.js';

const debug = createDebug('luksfuse:keyslot');

export interface OpenKeyslotOptions {
  /** Only this one. */
  keyslot?: number;
  /** Of those that are tried without being named, only these. */
  among?: readonly number[];
  /** Caps on what a keyslot's KDF may cost; DEFAULT_KDF_LIMITS without. */
  limits?: KdfLimits;
  /**
   * Opens keyslots without encryption, and volumes without encryption. Whoever can write a header can put
   * such a keyslot with a key of his own into it.
   */
  allowNullCipher?: boolean;
  /** Opens keyslots whose key belongs to no segment as well: for changing them, never for a volume. */
  includeUnbound?: boolean;
}

export interface OpenedKeyslot {
  keyslot: number;
  volumeKey: Secret;
}

function usesNullCipher(header: LuksHeader, id: number, keyslot: PassphraseKeyslot): boolean {
  const segmentIds = findDigestOf(header, id)?.digest.segments ?? [];
  const segments = header.segments.filter((segment) => segmentIds.includes(segment.id));
  const specs = [keyslot.area.encryption, ...segments.map((segment) => segment.encryption ?? '')];
  return specs.some(isNullCipher);
}

/** Why keyslot `id` cannot be opened by any passphrase here, or null. */
function findObstacle(header: LuksHeader, id: number, options: OpenKeyslotOptions): string | null {
  const keyslot = header.keyslots.get(id);
  if (!keyslot) return 'is not active; see which are with: luksfuse dump';
  if (!isPassphraseKeyslot(keyslot)) return `is of type "${keyslot.type}" and no passphrase opens it here`;
  if (isUnbound(header, id) && !options.includeUnbound) return 'is unbound: its key belongs to no segment';
  if (usesNullCipher(header, id, keyslot) && !options.allowNullCipher) {
    return 'or its segment uses the null cipher, which protects nothing; allow it explicitly if that is meant';
  }
  return null;
}

/** The keyslots to try, in order: a named one, or those of priority 2 and then 1. */
function candidates(header: LuksHeader, options: OpenKeyslotOptions): number[] {
  const { keyslot, among } = options;
  if (keyslot !== undefined) {
    const obstacle = findObstacle(header, keyslot, options);
    if (obstacle) throw new LuksError('BAD_ARGUMENT', `keyslot ${keyslot} ${obstacle}`);
    return [keyslot];
  }
  const byPriority = [...header.keyslots]
    .filter(([id, { priority }]) => priority > 0 && (among?.includes(id) ?? true))
    .sort(([a, one], [b, other]) => other.priority - one.priority || a - b);
  return byPriority
    .map(([id]) => id)
    .filter((id) => {
      const obstacle = findObstacle(header, id, options);
      if (obstacle) debug('keyslot %d is not tried: it %s', id, obstacle);
      return obstacle === null;
    });
}

/** What trying keyslot `id` takes. */
function derivationsOf(header: LuksHeader, id: number): Derivation[] {
  const { kdf, area } = header.keyslots.get(id) as PassphraseKeyslot;
  const digest = findDigestOf(header, id)?.digest;
  return [{ kdf, keySizeBytes: area.keySizeBytes }, ...(digest ? digestDerivations(digest) : [])];
}

/** The volume key in keyslot `id`, or null where the passphrase is not its. */
async function tryKeyslot(
  device: ReadableDevice,
  header: LuksHeader,
  id: number,
  passphrase: Uint8Array,
  limits: KdfLimits,
): Promise<Secret | null> {
  const keyslot = header.keyslots.get(id) as PassphraseKeyslot;
  // cryptsetup opens a keyslot without encryption with the empty passphrase only.
  if (isNullCipher(keyslot.area.encryption) && passphrase.length > 0) return null;
  const digest = findDigestOf(header, id)?.digest;
  if (!digest) return null;
  requireUsableArea(keyslot);
  let areaKey: Buffer | null = null;
  let candidate: Buffer | null = null;
  try {
    areaKey = await deriveKey(keyslot.kdf, passphrase, keyslot.area.keySizeBytes, limits);
    candidate = readKeyMaterial(device, keyslot, areaKey);
    return (await matchesDigest(digest, candidate, limits)) ? Secret.takeFrom(candidate) : null;
  } finally {
    wipe(areaKey, candidate);
  }
}

/**
 * The volume key behind the first keyslot that `passphrase` opens, or null where it opens none.
 * The caller owns the Secret. A keyslot that cannot be computed (too dear, too little memory, unknown hash or
 * cipher) does not stop the others; its error is thrown where none of them opens.
 * Throws UNSUPPORTED before anything is computed if all of them together cost too much, BAD_ARGUMENT if a named keyslot
 * cannot be used.
 */
export async function openKeyslot(
  device: ReadableDevice,
  header: LuksHeader,
  passphrase: Uint8Array,
  options: OpenKeyslotOptions = {},
): Promise<OpenedKeyslot | null> {
  const { limits = DEFAULT_KDF_LIMITS } = options;
  const ids = candidates(header, options);
  requireTotalWithin(
    ids.flatMap((id) => derivationsOf(header, id)),
    limits,
  );
  let firstFailure: LuksError | null = null;
  for (const id of ids) {
    try {
      const volumeKey = await tryKeyslot(device, header, id, passphrase, limits);
      debug('keyslot %d: %s', id, volumeKey ? 'opened' : 'not its passphrase');
      if (volumeKey) return { keyslot: id, volumeKey };
    } catch (error) {
      if (!(error instanceof LuksError)) throw error;
      debug('keyslot %d: %s', id, error.message);
      firstFailure ??= new LuksError(error.code, `keyslot ${id}: ${error.message}`, { cause: error });
    }
  }
  if (firstFailure) throw firstFailure;
  return null;
}
