/**
 * Makes volumes: a header for a payload, detached or attached (cryptsetup's luksFormat). The payload's own
 * bytes stay as they are, but for those that an attached header takes.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { formatBytes } from '../bytes.js';
import type { KdfChoice } from '../crypto/kdf-choice.js';
import { Secret } from '../crypto/secret.js';
import { createSectorCipher } from '../crypto/sector-cipher.js';
import { Device } from '../device.js';
import { LuksError } from '../errors.js';
import { applySteps, planWipe, type WriteStep } from '../format/change.js';
import { withKeyslot } from '../format/edit.js';
import { withHeaderLock } from '../format/lock.js';
import { encodeLuks1 } from '../format/luks1.js';
import type { LuksHeader } from '../format/model.js';
import { type NewHeaderParameters, newLuks1, newLuks2 } from '../format/new-header.js';
import { planMetadata } from '../format/write.js';
import { lockImage } from '../image-lock.js';
import { DEFAULT_HASH, MIN_DIGEST_ITERATIONS, makeDigest } from '../keyslot/new-digest.js';
import { makeKeyslot } from '../keyslot/new-keyslot.js';
import { withPairing } from '../keyslot/pairing.js';
import { findContent, isSameFile, openHeaderFile } from './header-file.js';

/** cryptsetup's defaults hold for whatever is left out. */
export interface FormatOptions {
  version?: 1 | 2;
  /** `aes-xts-plain64`. */
  encryption?: string;
  /** 32, or 64 for the two keys of XTS. */
  keySizeBytes?: number;
  /** `sha256`: of digest, anti-forensic splitter and PBKDF2. */
  hash?: string;
  /** Of the first keyslot. */
  pbkdf?: Partial<Omit<KdfChoice, 'hash'>>;
  keyslot?: number;
  keyslotEncryption?: string;
  keyslotKeySizeBytes?: number;
  /** 4096 where the payload is a multiple of it and LUKS2 is made, else 512. */
  sectorSizeBytes?: number;
  /** Where the payload begins on its device. */
  offsetBytes?: number;
  uuid?: string;
  label?: string;
  subsystem?: string;
  metadataSizeBytes?: number;
  keyslotsSizeBytes?: number;
  /** Instead of a random one. The caller's to wipe. */
  volumeKey?: Uint8Array;
  /** Records in a LUKS2 header what payload it belongs to (keyslot/pairing.ts); true without. */
  pairing?: boolean;
  /** Lets `encryption` be no encryption at all. */
  allowNullCipher?: boolean;
  /** Replaces whatever is in the header's place already. */
  overwrite?: boolean;
  /** The last word on the header before it is written: what is more to be in it. */
  adapt?: (header: LuksHeader, volumeKey: Uint8Array, payload: Device) => Promise<LuksHeader>;
  /** Writes an attached header, where that is more than the steps one after the other. */
  place?: (payload: Device, steps: readonly WriteStep[], header: LuksHeader) => void;
  /** Goes on with the volume once its header is there; header and payload can be written, and nobody else has had them. */
  use?: (devices: FormattedDevices) => Promise<void>;
}

export interface FormattedDevices {
  /** The header's; the payload's own where the header is attached. */
  device: Device;
  payload: Device;
}

const DEFAULT_ENCRYPTION = 'aes-xts-plain64';
const DEFAULT_KEY_BYTES = 32;
/** The size of LUKS1's field; in LUKS2 a digest is as long as its hash. */
const LUKS1_DIGEST_BYTES = 20;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function defaultKeySizeBytes(encryption: string): number {
  return /\bxts\b/.test(encryption) ? 2 * DEFAULT_KEY_BYTES : DEFAULT_KEY_BYTES;
}

/** Throws where this cipher, key size and sector size do not go together, before anything is written. */
function requireCipher(
  encryption: string,
  keySizeBytes: number,
  sectorSizeBytes: number,
  allowNullCipher: boolean,
): void {
  createSectorCipher(encryption, randomBytes(keySizeBytes), sectorSizeBytes, { allowNullCipher }).destroy();
}

async function makeEmptyHeader(
  volumeKey: Uint8Array,
  payloadSizeBytes: number,
  isDetached: boolean,
  options: FormatOptions,
): Promise<LuksHeader> {
  const { version = 2, encryption = DEFAULT_ENCRYPTION, uuid = randomUUID() } = options;
  if (!UUID.test(uuid)) {
    throw new LuksError('BAD_ARGUMENT', `"${uuid}" is no UUID; leave it out for a random one`);
  }
  const alignedTo4K = (payloadSizeBytes - (options.offsetBytes ?? 0)) % 4096 === 0;
  const sectorSizeBytes = options.sectorSizeBytes ?? (version === 2 && alignedTo4K ? 4096 : 512);
  requireCipher(encryption, volumeKey.length, sectorSizeBytes, options.allowNullCipher ?? false);
  const parameters: NewHeaderParameters = {
    uuid: uuid.toLowerCase(),
    label: options.label ?? '',
    subsystem: options.subsystem ?? '',
    encryption,
    keySizeBytes: volumeKey.length,
    sectorSizeBytes,
    offsetBytes: options.offsetBytes ?? null,
    isDetached,
    digest: await makeDigest(volumeKey, {
      ...(options.hash !== undefined && { hash: options.hash }),
      ...(version === 1 && { sizeBytes: LUKS1_DIGEST_BYTES }),
      ...(options.pbkdf?.forceIterations !== undefined && { iterations: MIN_DIGEST_ITERATIONS }),
    }),
    hdrSizeBytes: options.metadataSizeBytes ?? null,
    keyslotsSizeBytes: options.keyslotsSizeBytes ?? null,
  };
  return version === 1 ? newLuks1(parameters) : newLuks2(parameters);
}

/** The header with its first keyslot, and the write of that one's material. */
async function withFirstKeyslot(
  empty: LuksHeader,
  volumeKey: Uint8Array,
  passphrase: Uint8Array,
  options: FormatOptions,
): Promise<{ header: LuksHeader; material: WriteStep }> {
  const { keyslot: id = 0, hash = DEFAULT_HASH, keyslotEncryption, keyslotKeySizeBytes } = options;
  const made = await makeKeyslot(empty, id, volumeKey, passphrase, {
    pbkdf: { hash, ...options.pbkdf },
    ...(keyslotEncryption !== undefined && { encryption: keyslotEncryption }),
    ...(keyslotKeySizeBytes !== undefined && { encryptionKeySizeBytes: keyslotKeySizeBytes }),
  });
  return { header: withKeyslot(empty, id, made.keyslot, 0), material: made.material };
}

/** Nothing of what was there before is left to be taken for a header or key material of this volume. */
function planFormat(header: LuksHeader, material: WriteStep): WriteStep[] {
  const metadataBytes =
    header.disk.version === 2 ? 2 * header.disk.hdrSizeBytes : header.disk.areas[0]!.offsetBytes;
  const areas = { offsetBytes: metadataBytes, sizeBytes: header.headerSizeBytes - metadataBytes };
  const metadata =
    header.disk.version === 2
      ? planMetadata(header, header)
      : [{ what: 'header', offsetBytes: 0, bytes: encodeLuks1(header) }];
  return [
    ...planWipe('old metadata', { offsetBytes: 0, sizeBytes: metadataBytes }, 'zero'),
    ...planWipe('keyslots area', areas),
    material,
    ...metadata,
  ];
}

/** The volume key, given or random, which the caller destroys. */
function makeVolumeKey(options: FormatOptions): Secret {
  const { volumeKey, encryption = DEFAULT_ENCRYPTION } = options;
  const { keySizeBytes = volumeKey?.length ?? defaultKeySizeBytes(encryption) } = options;
  if (volumeKey && volumeKey.length !== keySizeBytes) {
    throw new LuksError('BAD_ARGUMENT', `the volume key has ${volumeKey.length} bytes, not ${keySizeBytes}`);
  }
  return Secret.takeFrom(volumeKey ? Buffer.from(volumeKey) : randomBytes(keySizeBytes));
}

export interface VolumePaths {
  /** Without it the header goes to the payload's start. */
  header?: string;
  payload: string;
}

/** Throws where the header must not be written, before anything is computed. */
function requireHeaderPlace({ header, payload }: VolumePaths, overwrite: boolean): void {
  if (header !== undefined && isSameFile(header, payload)) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `${header} is the payload itself; give another file, or none for a header at the payload's start`,
    );
  }
  const place = header ?? payload;
  const content = overwrite ? null : findContent(place);
  if (content === null) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `${place} holds ${content} already, which would be lost; say so if that is meant`,
  );
}

/** Throws where the payload would begin behind its device's end. */
function requirePayload(payload: Device, header: LuksHeader): void {
  const { offsetBytes } = header.segments[0]!;
  if (offsetBytes < payload.sizeBytes) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `${payload.path} has ${formatBytes(payload.sizeBytes)}, and its data would begin at ${formatBytes(offsetBytes)}; ` +
      'it is too small, or needs a detached header or another offset',
  );
}

/** Writes what was made to its place, and has it used; a new file that cannot be written to the end is taken away again. */
async function writeHeader(
  paths: VolumePaths,
  payload: Device,
  header: LuksHeader,
  steps: WriteStep[],
  { place = applySteps, use = async () => {} }: FormatOptions,
) {
  if (paths.header === undefined) {
    await withHeaderLock(payload, async () => place(payload, steps, header));
    await use({ device: payload, payload });
    return;
  }
  const { device, discard } = openHeaderFile(paths.header, header.headerSizeBytes);
  try {
    try {
      lockImage(device, 'writer');
      await withHeaderLock(device, async () => applySteps(device, steps));
    } catch (error) {
      discard();
      throw error;
    }
    await use({ device, payload });
  } finally {
    device.close();
  }
}

/**
 * Writes a LUKS header for `payload` that `passphrase` opens, into `header`, which is made where it is
 * missing, or to the start of the payload where `header` is left out.
 * Claims both as a writer while it works. Resolves to the header as it was written. Throws BAD_ARGUMENT, UNSUPPORTED,
 * BUSY, DEVICE_IO.
 */
export async function formatVolume(
  paths: VolumePaths,
  passphrase: Uint8Array,
  options: FormatOptions = {},
): Promise<LuksHeader> {
  const { overwrite = false, pairing = true } = options;
  requireHeaderPlace(paths, overwrite);
  const isDetached = paths.header !== undefined;
  const volumeKey = makeVolumeKey(options);
  let payload: Device | null = null;
  try {
    payload = Device.open(paths.payload, { isReadOnly: isDetached && !options.use });
    lockImage(payload, 'writer');
    const empty = await makeEmptyHeader(volumeKey.bytes, payload.sizeBytes, isDetached, options);
    requirePayload(payload, empty);
    const paired = pairing ? withPairing(empty, volumeKey.bytes, payload.sizeBytes) : empty;
    const first = await withFirstKeyslot(paired, volumeKey.bytes, passphrase, options);
    const { material } = first;
    const header = (await options.adapt?.(first.header, volumeKey.bytes, payload)) ?? first.header;
    volumeKey.destroy();
    await writeHeader(paths, payload, header, planFormat(header, material), options);
    return header;
  } finally {
    volumeKey.destroy();
    payload?.close();
  }
}
