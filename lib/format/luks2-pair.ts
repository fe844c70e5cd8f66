/**
 * The two copies of a LUKS2 header: reads both, and says which one counts (LUKS2 on-disk format
 * specification, section 2.1 and 2.4). Only reads. Knows nothing of what the JSON means beyond its checks.
 */
import createDebug from 'debug';
import type { ReadableDevice } from '../device.js';
import { LuksError } from '../errors.js';
import { JsonAreaError, type JsonObject, parseJsonArea } from './json.js';
import {
  BINARY_HEADER_BYTES,
  type BinaryHeader,
  type CopyName,
  checkChecksum,
  decodeBinaryHeader,
  HDR_SIZES_BYTES,
  hasMagic,
} from './luks2-binary.js';
import { validateDocument } from './luks2-validate.js';
import type { Luks2CopyState, LuksHeader, Metadata } from './model.js';

const debug = createDebug('luksfuse:format');

/** A copy that passed every check. */
interface ValidCopy {
  binary: BinaryHeader;
  document: JsonObject;
  metadata: Metadata;
}

/** A copy, or why there is none; `isPresent` tells a broken header from none at all. */
type CopyResult =
  | { copy: ValidCopy; offsetBytes: number }
  | { copy: null; offsetBytes: number; isPresent: boolean; reason: string };

function readCopy(device: ReadableDevice, name: CopyName, offsetBytes: number): CopyResult {
  const failed = (reason: string, isPresent = true): CopyResult => {
    debug('%s copy at %d: %s', name, offsetBytes, reason);
    return { copy: null, offsetBytes, isPresent, reason };
  };
  const head = Buffer.alloc(BINARY_HEADER_BYTES);
  const count = device.readAt(head, offsetBytes);
  if (!hasMagic(head, name)) return failed('no magic', false);
  if (count < head.length) return failed('the file is truncated: it ends within the binary header');
  const binary = decodeBinaryHeader(head, name, offsetBytes);
  if (typeof binary === 'string') return failed(binary);
  const bytes = Buffer.alloc(binary.hdrSizeBytes);
  if (device.readAt(bytes, offsetBytes) < bytes.length) {
    return failed('the file is truncated: it ends within the JSON area');
  }
  const checksumProblem = checkChecksum(bytes, binary.checksumAlgorithm);
  if (checksumProblem) return failed(checksumProblem);
  try {
    const document = parseJsonArea(bytes.subarray(BINARY_HEADER_BYTES));
    const metadata = validateDocument(document, binary.hdrSizeBytes);
    if (typeof metadata === 'string') return failed(metadata);
    return { copy: { binary, document, metadata }, offsetBytes };
  } catch (error) {
    if (error instanceof JsonAreaError || error instanceof LuksError) return failed(error.message);
    throw error;
  }
}

/**
 * The secondary copy: behind the primary one where that is good, else at the first of the possible places
 * that holds a good one (a stale one of an older, larger format may lie farther out).
 */
function readSecondary(device: ReadableDevice, primary: CopyResult): CopyResult {
  if (primary.copy) return readCopy(device, 'secondary', primary.copy.binary.hdrSizeBytes);
  let found: CopyResult | null = null;
  for (const offsetBytes of HDR_SIZES_BYTES) {
    const result = readCopy(device, 'secondary', offsetBytes);
    if (result.copy) return result;
    if (result.isPresent) found ??= result;
  }
  return found ?? { copy: null, offsetBytes: HDR_SIZES_BYTES[0]!, isPresent: false, reason: 'no magic' };
}

function stateOf(result: CopyResult, other: CopyResult): Luks2CopyState {
  const { offsetBytes } = result;
  if (!result.copy) {
    return { offsetBytes, state: result.isPresent ? 'corrupt' : 'absent', reason: result.reason };
  }
  const isObsolete = other.copy !== null && other.copy.binary.seqid > result.copy.binary.seqid;
  return { offsetBytes, state: isObsolete ? 'obsolete' : 'valid', reason: null };
}

function requireWhole(device: ReadableDevice, headerSizeBytes: number): void {
  if (device.sizeBytes >= headerSizeBytes) return;
  throw new LuksError(
    'HEADER_CORRUPT',
    `${device.path} is truncated: its LUKS2 header and keyslots take ${headerSizeBytes} bytes ` +
      `and it has ${device.sizeBytes}; restore it from a backup`,
  );
}

/**
 * The LUKS2 header of `device`, from the copy with the higher seqid among the good ones. Null where neither
 * copy is there. Throws HEADER_CORRUPT where one is and none is good, or key material is cut off.
 */
export function findLuks2(device: ReadableDevice): LuksHeader | null {
  const primary = readCopy(device, 'primary', 0);
  const secondary = readSecondary(device, primary);
  const states = { primary: stateOf(primary, secondary), secondary: stateOf(secondary, primary) };
  const copyRead = states.primary.state === 'valid' ? 'primary' : 'secondary';
  const { copy } = copyRead === 'primary' ? primary : secondary;
  if (!copy) {
    if (states.primary.state === 'absent' && states.secondary.state === 'absent') return null;
    throw new LuksError(
      'HEADER_CORRUPT',
      `both copies of the LUKS2 header of ${device.path} are unusable (primary: ${states.primary.reason}; ` +
        `secondary: ${states.secondary.reason}); restore it from a backup`,
    );
  }
  const { binary, document, metadata } = copy;
  const headerSizeBytes = 2 * binary.hdrSizeBytes + metadata.config.keyslotsSizeBytes;
  requireWhole(device, headerSizeBytes);
  return {
    version: 2,
    uuid: binary.uuid,
    label: binary.label,
    subsystem: binary.subsystem,
    headerSizeBytes,
    document,
    disk: {
      version: 2,
      hdrSizeBytes: binary.hdrSizeBytes,
      seqid: binary.seqid,
      checksumAlgorithm: binary.checksumAlgorithm,
      salt: binary.salt,
      copyRead,
      ...states,
    },
    ...metadata,
  };
}
