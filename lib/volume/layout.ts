/**
 * Where each piece of a volume's plaintext lies on its payload: the header's segments, with the sizes that
 * depend on the payload worked out. Plain data that any thread or process can be handed.
 */
import { alignDown, formatBytes } from '../bytes.js';
import { IV_SECTOR_BYTES } from '../crypto/sector-cipher.js';
import { type Device, requireRange } from '../device.js';
import { LuksError } from '../errors.js';
import {
  findDigestOfSegment,
  isNullCipher,
  type LuksHeader,
  type Segment,
  volumeSegments,
} from '../format/model.js';
import { HOT_FLAG, type Part, type Reencryption } from '../format/reencryption.js';
import { isInReencryption, requireReadablePayload } from '../format/requirements.js';
import { canDiscard } from '../native/file.js';
import { type Extent, hotExtent, type Piece, partsOf, type ReencryptionState } from './reencrypt-parts.js';
import { type ReencryptionProgress, requireUnderWay } from './under-way.js';

/** LUKS2 on-disk format, "Config": a persistent flag, which cryptsetup heeds too. */
const ALLOW_DISCARDS_FLAG = 'allow-discards';
const MAX_PIECES = 64;

export interface SegmentLayout {
  /** First byte in the plaintext. */
  startBytes: number;
  sizeBytes: number;
  /** First byte on the payload. */
  deviceOffsetBytes: number;
  /** IV number of the first sector, in 512-byte units. */
  ivTweak: bigint;
  /** `aes-xts-plain64`; null for plaintext, which an encryption has not reached yet. */
  encryption: string | null;
  /** That of its key; null for plaintext. */
  digest: number | null;
  sectorSizeBytes: number;
  /** An interrupted reencryption left it in no form that is known: reading it fails. */
  isLost?: boolean;
}

export interface VolumeLayout {
  segments: SegmentLayout[];
  /** The volume is this part of the plaintext: all of it, or the window that was asked for. */
  windowOffsetBytes: number;
  sizeBytes: number;
  /** What is discarded is given back to the payload's storage, which shows where the volume is empty. */
  allowsDiscards: boolean;
  /** How far a reencryption is that has begun and not ended, else null. */
  reencryption: ReencryptionProgress | null;
}

/** A part of the plaintext; without a size it reaches to the end. */
export interface Window {
  offsetBytes: number;
  sizeBytes?: number | undefined;
}

export interface LayoutOptions {
  window?: Window | undefined;
  /** Lets segments through that are no ciphertext at all. */
  allowNullCipher?: boolean | undefined;
  /** Lets a volume through that has been decrypted. */
  allowPlaintext?: boolean | undefined;
  /** Lets discards through, as the flag allow-discards in a LUKS2 header does. */
  allowDiscards?: boolean | undefined;
}

/** Whoever can change a header can have new data written in the clear by it. */
function requireNoNullCipher(header: LuksHeader): void {
  if (!volumeSegments(header).some(({ encryption }) => isNullCipher(encryption ?? ''))) return;
  throw new LuksError(
    'UNSUPPORTED',
    'the header names the null cipher, so the payload is not encrypted at all; if that is meant, --allow-null-cipher',
  );
}

/** Without the requirement nobody knows how far a reencryption is whose segments are there, nor by which key each is read. */
function requireNoRemnants(header: LuksHeader): void {
  const row = volumeSegments(header);
  const keys = new Set(row.map((segment) => findDigestOfSegment(header, segment)));
  const isSettled =
    row.length === header.segments.length &&
    keys.size <= 1 &&
    row.every(({ flags }) => !flags.includes(HOT_FLAG));
  if (isSettled) return;
  throw new LuksError(
    'HEADER_CORRUPT',
    'the header has the segments of a reencryption and does not say that one is under way; restore a backup of it ' +
      'with: luksfuse header-restore',
  );
}

/**
 * Lays the header's segments out on `payload`; in the middle of a reencryption, as they are when its hot zone has been
 * recovered (`unlockVolume` does that).
 * Throws DEVICE_IO where the payload is too small for them, UNSUPPORTED for segments that are no
 * ciphertext and for reencryptions that are not known here, HEADER_CORRUPT for what is left of one.
 */
export function layoutVolume(header: LuksHeader, payload: Device, options: LayoutOptions = {}): VolumeLayout {
  const underWay = isInReencryption(header) ? requireUnderWay(header, payload) : null;
  if (!underWay && !options.allowPlaintext) requireReadablePayload(header, 'open the volume');
  if (!underWay) requireNoRemnants(header);
  if (!options.allowNullCipher) requireNoNullCipher(header);
  const settled = underWay?.settled ?? header;
  const segments: SegmentLayout[] = [];
  let startBytes = 0;
  for (const segment of volumeSegments(settled)) {
    const sizeBytes = sizeOnPayload(segment, payload);
    segments.push({
      startBytes,
      sizeBytes,
      deviceOffsetBytes: segment.offsetBytes,
      ivTweak: segment.ivTweak,
      encryption: segment.encryption,
      digest: segment.encryption === null ? null : requireDigest(settled, segment),
      sectorSizeBytes: segment.sectorSizeBytes,
    });
    startBytes += sizeBytes;
  }
  const allowsDiscards =
    options.allowDiscards || (canDiscard && header.config.flags.includes(ALLOW_DISCARDS_FLAG));
  return {
    segments,
    ...checkWindow(options.window ?? { offsetBytes: 0 }, segments, startBytes),
    allowsDiscards,
    reencryption: underWay?.progress ?? null,
  };
}

/**
 * `layout` for a reencryption that goes on while the volume is used: its form before the border and the one behind it,
 * each over all of the volume.
 */
export function movingLayout(layout: VolumeLayout, reencryption: Reencryption): VolumeLayout {
  const whole = { offsetBytes: 0, sizeBytes: layout.reencryption!.totalBytes };
  const segments = (['new', 'old'] as const).map((state) => segmentIn(state, reencryption, whole));
  return { ...layout, segments: reencryption.direction === 'forward' ? segments : segments.reverse() };
}

/** `layout` for a hot zone that lies in pieces and stays so: whatever reaches into a lost one fails. */
export function piecedLayout(
  layout: VolumeLayout,
  reencryption: Reencryption,
  state: ReencryptionState,
  pieces: readonly Piece[],
): VolumeLayout {
  // A cipher for each piece: where there are that many, all of the zone is given up rather.
  const zone = pieces.length > MAX_PIECES ? [{ ...hotExtent(state), state: 'lost' as const }] : pieces;
  const row = partsOf(state).flatMap<Part | Piece>((part) => (part.state === 'hot' ? zone : [part]));
  const segments = row.map(({ state: form, offsetBytes, sizeBytes: size }) => {
    const sizeBytes = size === 'dynamic' ? state.totalBytes - offsetBytes : size;
    const segment = segmentIn(form === 'old' ? 'old' : 'new', reencryption, { offsetBytes, sizeBytes });
    return form === 'lost' ? { ...segment, isLost: true } : segment;
  });
  return { ...layout, segments };
}

/** A stretch of the volume in one of the two forms. */
function segmentIn(
  form: 'old' | 'new',
  { previous, final, previousDigest, finalDigest }: Reencryption,
  { offsetBytes, sizeBytes }: Extent,
): SegmentLayout {
  const [segment, digest] = form === 'new' ? [final, finalDigest] : [previous, previousDigest];
  return {
    startBytes: offsetBytes,
    sizeBytes,
    deviceOffsetBytes: segment.offsetBytes + offsetBytes,
    ivTweak: segment.ivTweak + BigInt(offsetBytes / IV_SECTOR_BYTES),
    encryption: segment.encryption,
    digest,
    sectorSizeBytes: segment.sectorSizeBytes,
  };
}

function requireDigest(header: LuksHeader, segment: Segment): number {
  const digest = findDigestOfSegment(header, segment);
  if (digest !== null) return digest;
  throw new LuksError(
    'UNSUPPORTED',
    `no digest tells the key of segment ${segment.id}; try: cryptsetup repair`,
  );
}

function sizeOnPayload(segment: Segment, payload: Device): number {
  const { offsetBytes, sectorSizeBytes } = segment;
  const available = alignDown(Math.max(0, payload.sizeBytes - offsetBytes), sectorSizeBytes);
  const needed = segment.sizeBytes === 'dynamic' ? sectorSizeBytes : segment.sizeBytes;
  if (available < needed) {
    throw new LuksError(
      'DEVICE_IO',
      `payload ${payload.path} (${formatBytes(payload.sizeBytes)}) is too small: its header puts the data at byte ` +
        `${offsetBytes}${segment.sizeBytes === 'dynamic' ? '' : `, ${segment.sizeBytes} bytes of it`}; ` +
        'give the payload this header was made for',
    );
  }
  return segment.sizeBytes === 'dynamic' ? available : segment.sizeBytes;
}

function checkWindow(
  window: Window,
  segments: SegmentLayout[],
  plaintextBytes: number,
): Pick<VolumeLayout, 'windowOffsetBytes' | 'sizeBytes'> {
  const { offsetBytes } = window;
  requireRange(offsetBytes, window.sizeBytes ?? 0);
  const sizeBytes = window.sizeBytes ?? plaintextBytes - offsetBytes;
  const sectorSizeBytes = Math.max(...segments.map((segment) => segment.sectorSizeBytes));
  if (offsetBytes % sectorSizeBytes !== 0 || sizeBytes % sectorSizeBytes !== 0) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `offset and size must be multiples of the sector size, ${sectorSizeBytes}`,
    );
  }
  if (sizeBytes <= 0 || offsetBytes + sizeBytes > plaintextBytes) {
    throw new LuksError(
      'BAD_ARGUMENT',
      `bytes ${offsetBytes} to ${offsetBytes + sizeBytes} do not lie within the volume's ${plaintextBytes}`,
    );
  }
  return { windowOffsetBytes: offsetBytes, sizeBytes };
}
