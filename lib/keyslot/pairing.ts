/**
 * The record in a LUKS2 header of the payload it belongs to, since nothing else ties a detached header to one.
 *
 * A token holds the payload's size and an HMAC, under a key derived from the volume key, over that size, the UUID and
 * the segments. It marks nothing on the payload, and writing the payload does not touch it. It tells a payload of
 * another size from the right one, and a header whose segments were changed by somebody without the volume key. It
 * cannot tell two payloads of one size apart, nor a good header from an older copy of it.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { formatBytes, wipe } from '../bytes.js';
import type { Device } from '../device.js';
import { changeHeader } from '../format/change.js';
import { editHeader } from '../format/edit.js';
import { type JsonObject, objectMember } from '../format/json.js';
import { type LuksHeader, PAIRING_TOKEN_TYPE, volumeSegments } from '../format/model.js';
import { requireNoUnknownRequirements } from '../format/requirements.js';
import { planMetadata } from '../format/write.js';

const KEY_PURPOSE = 'luksfuse pairing v1';
const KEY_BYTES = 32;
/** Out of the way of people, who count tokens from 0. */
const LAST_TOKEN_ID = 31;

/** What the HMAC covers, in one spelling. */
function factsOf(header: LuksHeader, payloadSizeBytes: number): string {
  const segments = volumeSegments(header).map((segment) => [
    segment.type,
    segment.offsetBytes,
    segment.sizeBytes,
    segment.ivTweak.toString(),
    segment.encryption,
    segment.sectorSizeBytes,
  ]);
  return JSON.stringify([header.uuid, payloadSizeBytes, segments]);
}

function sign(header: LuksHeader, volumeKey: Uint8Array, payloadSizeBytes: number): Buffer {
  const key = Buffer.from(hkdfSync('sha256', volumeKey, '', KEY_PURPOSE, KEY_BYTES));
  try {
    return createHmac('sha256', key).update(factsOf(header, payloadSizeBytes)).digest();
  } finally {
    wipe(key);
  }
}

function findPairing(header: LuksHeader): { id: number; document: JsonObject } | null {
  for (const [id, { type, document }] of header.tokens) {
    if (type === PAIRING_TOKEN_TYPE) return { id, document };
  }
  return null;
}

/** A LUKS2 `header` with the pairing recorded, instead of an earlier one; LUKS1 has no place for it and stays. */
export function withPairing(header: LuksHeader, volumeKey: Uint8Array, payloadSizeBytes: number): LuksHeader {
  if (header.version === 1) return header;
  let id = findPairing(header)?.id ?? LAST_TOKEN_ID;
  while (id > 0 && header.tokens.has(id) && header.tokens.get(id)!.type !== PAIRING_TOKEN_TYPE) id -= 1;
  return editHeader(header, (document) => {
    objectMember(document, 'tokens')[id] = {
      type: PAIRING_TOKEN_TYPE,
      keyslots: [],
      payload_size: String(payloadSizeBytes),
      hmac: sign(header, volumeKey, payloadSizeBytes).toString('base64'),
    };
  });
}

/** Records, in the header on `device`, that it belongs to a payload of this size. Throws BUSY, UNSUPPORTED. */
export function recordPairing(
  device: Device,
  volumeKey: Uint8Array,
  payloadSizeBytes: number,
): Promise<void> {
  return changeHeader(device, (header) => {
    requireNoUnknownRequirements(header, 'record the pairing');
    return {
      steps: planMetadata(header, withPairing(header, volumeKey, payloadSizeBytes)),
      result: undefined,
    };
  });
}

/** Why this payload does not seem to be the one the header was paired with; null where it does, or none was. */
export function findMispairing(header: LuksHeader, volumeKey: Uint8Array, payload: Device): string | null {
  const document = findPairing(header)?.document;
  if (!document) return null;
  const paired = String(document.payload_size);
  if (paired !== String(payload.sizeBytes)) {
    const sizes = `${payload.sizeBytes} bytes (${formatBytes(payload.sizeBytes)}), not ${paired}`;
    return `${payload.path} has ${sizes}, as the payload that this header was paired with`;
  }
  const recorded = Buffer.from(String(document.hmac), 'base64');
  const expected = sign(header, volumeKey, payload.sizeBytes);
  if (recorded.length === expected.length && timingSafeEqual(recorded, expected)) return null;
  return 'the segments in the header are not those it was paired with: changed by another program, or tampered with';
}
