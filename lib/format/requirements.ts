/**
 * What a header demands of whoever touches the volume, against what this program knows (LUKS2 spec,
 * section 3.6 "requirements").
 */
import { LuksError } from '../errors.js';
import { type LuksHeader, volumeSegments } from './model.js';

const REENCRYPTION = /^online-reencrypt(-v\d+)?$/;

/** True while a reencryption has begun and not ended. */
export function isInReencryption(header: LuksHeader): boolean {
  return header.config.requirements.some((name) => REENCRYPTION.test(name));
}

/**
 * Throws UNSUPPORTED where the header has requirements. Reading metadata, testing a key, backing up and
 * destroying key material need not ask; whatever reads the payload or adds to the header must.
 * @param operation for the message: `mount`, `add a key`.
 */
export function requireNoUnknownRequirements(header: LuksHeader, operation: string): void {
  const { requirements } = header.config;
  if (requirements.length === 0) return;
  throw new LuksError(
    'UNSUPPORTED',
    isInReencryption(header)
      ? `cannot ${operation}: a reencryption of this volume is unfinished; ` +
          'finish it with: luksfuse reencrypt --resume-only'
      : `cannot ${operation}: the header requires features that are not known here (${requirements.join(', ')}); ` +
          'use the newer tool that set them',
  );
}

/** Throws UNSUPPORTED where the payload cannot be read and written as these segments alone describe. */
export function requireReadablePayload(header: LuksHeader, operation: string): void {
  requireNoUnknownRequirements(header, operation);
  const segments = volumeSegments(header);
  if (segments.length === 0)
    throw new LuksError('UNSUPPORTED', `cannot ${operation}: the header has no segment`);
  for (const { id, type, integrity } of segments) {
    if (integrity !== null) {
      throw new LuksError(
        'UNSUPPORTED',
        `cannot ${operation}: segment ${id} has integrity protection (${integrity}), which is not supported`,
      );
    }
    if (type === 'linear') {
      throw new LuksError(
        'UNSUPPORTED',
        `cannot ${operation}: the volume was decrypted; its payload is plaintext`,
      );
    }
    if (type !== 'crypt') {
      throw new LuksError('UNSUPPORTED', `cannot ${operation}: segment ${id} is of unknown type "${type}"`);
    }
  }
}

/**
 * Throws BAD_ARGUMENT where header and payload cannot share a device because the payload would begin within
 * the header: a detached header was given as the payload.
 */
export function requireRoomForHeader(header: LuksHeader, path: string): void {
  const first = Math.min(...volumeSegments(header).map((segment) => segment.offsetBytes));
  if (first >= header.headerSizeBytes) return;
  throw new LuksError(
    'BAD_ARGUMENT',
    `${path} is a detached header: its payload begins at byte ${first} of another file; ` +
      'give that file as the payload and this one with --header',
  );
}
