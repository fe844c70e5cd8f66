/**
 * A header for people and for programs: all of its metadata as plain JSON-able data, and as text.
 * Salts and digests are shown, as every such tool does; key material is not in the model at all.
 */
import type { Kdf } from '../crypto/kdf.js';
import { drawRows, type LayoutRow, layoutRows, segmentRows } from './layout.js';
import { findDigestOf, type Keyslot, type LuksHeader, type Segment, type Token } from './model.js';

const PRIORITY_NAMES = ['ignored', 'normal', 'preferred'] as const;

type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

/** Plain data: Buffers in hex, bigints in decimal. */
function plain(value: unknown): Plain {
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value as Plain;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

function describeKeyslot(header: LuksHeader, id: number, keyslot: Keyslot) {
  const priority = PRIORITY_NAMES[keyslot.priority];
  return { id, ...keyslot, priority, digest: findDigestOf(header, id)?.id ?? null };
}

export interface HeaderDescription {
  version: 1 | 2;
  uuid: string;
  label: string;
  subsystem: string;
  headerSizeBytes: number;
  layout: { header: LayoutRow[]; payload: LayoutRow[] };
  [section: string]: unknown;
}

/** Everything the header says, ready for JSON.stringify: byte strings in hex, u64 beyond sizes in decimal. */
export function describeHeader(header: LuksHeader): HeaderDescription {
  const { version, uuid, label, subsystem, headerSizeBytes } = header;
  const rest = {
    config: header.config,
    disk: header.disk,
    segments: header.segments,
    keyslots: [...header.keyslots].map(([id, keyslot]) => describeKeyslot(header, id, keyslot)),
    tokens: [...header.tokens].map(([id, token]) => ({ ...token.document, id })),
    digests: [...header.digests].map(([id, digest]) => ({ id, ...digest })),
  };
  return {
    ...{ version, uuid, label, subsystem, headerSizeBytes },
    ...(plain(rest) as { [section: string]: Plain }),
    layout: { header: layoutRows(header), payload: segmentRows(header) },
  };
}

/** Names from a header are data of a stranger: no control character of theirs reaches a terminal. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, '�');
}

/** A block of `name: value` lines under a title; null values are left out. */
function block(title: string, fields: Readonly<Record<string, string | number | null>>): string[] {
  const lines = Object.entries(fields)
    .filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => `  ${printable(`${name}:`).padEnd(15)} ${printable(String(value))}`);
  return [title, ...lines];
}

function kdfText(kdf: Kdf | null): string {
  if (!kdf) return 'unknown';
  return kdf.type === 'pbkdf2'
    ? `pbkdf2, ${kdf.hash}, ${kdf.iterations} iterations`
    : `${kdf.type}, time ${kdf.time}, memory ${kdf.memoryKiB} KiB, threads ${kdf.cpus}`;
}

function keyslotText(header: LuksHeader, id: number, keyslot: Keyslot): string[] {
  const { area, af, kdf } = keyslot;
  const isKnown = keyslot.type === 'luks2';
  return block(`Keyslot ${id}`, {
    type: isKnown ? null : keyslot.type,
    priority: PRIORITY_NAMES[keyslot.priority],
    'key size': `${keyslot.keySizeBytes * 8} bits`,
    kdf: isKnown ? kdfText(kdf) : null,
    salt: kdf?.salt.toString('hex') ?? null,
    cipher: area?.encryption ? `${area.encryption}, key ${area.keySizeBytes! * 8} bits` : null,
    'anti-forensic': af ? `${af.stripes} stripes, ${af.hash}` : null,
    area: area ? `${area.sizeBytes} bytes at ${area.offsetBytes}` : null,
    digest: findDigestOf(header, id)?.id ?? 'none',
  });
}

function segmentText(segment: Segment): string[] {
  return block(`Segment ${segment.id}`, {
    type: segment.type,
    cipher: segment.encryption,
    offset: `${segment.offsetBytes} bytes`,
    size: segment.sizeBytes === 'dynamic' ? 'to the end of the device' : `${segment.sizeBytes} bytes`,
    'sector size': `${segment.sectorSizeBytes} bytes`,
    'iv tweak': segment.ivTweak === 0n ? null : segment.ivTweak.toString(),
    integrity: segment.integrity,
    flags: segment.flags.join(', '),
  });
}

function titleText(header: LuksHeader): string[] {
  const { disk, config } = header;
  const copyText = (copy: 'primary' | 'secondary') => {
    if (disk.version === 1) return null;
    const { state, reason, offsetBytes } = disk[copy];
    return `${state}${reason === null ? '' : ` (${reason})`}, at ${offsetBytes}`;
  };
  return block(`LUKS${header.version} header`, {
    UUID: header.uuid,
    label: header.label,
    subsystem: header.subsystem,
    seqid: disk.version === 2 ? disk.seqid.toString() : null,
    checksum: disk.version === 2 ? disk.checksumAlgorithm : null,
    'primary copy': copyText('primary'),
    'secondary copy': copyText('secondary'),
    hash: disk.version === 1 ? disk.hashSpec : null,
    flags: config.flags.join(', '),
    requirements: config.requirements.join(', '),
  });
}

/** Whatever else a token of this type says, as it says it. */
function tokenText(id: number, { type, keyslots, document }: Token): string[] {
  const others = Object.entries(document).filter(([name]) => name !== 'type' && name !== 'keyslots');
  const fields = others.map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  return block(`Token ${id}`, { type, keyslots: keyslots.join(', '), ...Object.fromEntries(fields) });
}

/** The same as text, with a drawing of the layout. */
export function headerText(header: LuksHeader): string {
  const tokens = [...header.tokens].map(([id, token]) => tokenText(id, token));
  const digests = [...header.digests].map(([id, digest]) =>
    block(`Digest ${id}`, {
      type:
        digest.type === 'pbkdf2' ? `pbkdf2, ${digest.hash}, ${digest.iterations} iterations` : digest.type,
      salt: digest.salt.toString('hex'),
      digest: digest.digest.toString('hex'),
      keyslots: digest.keyslots.join(', '),
      segments: digest.segments.join(', '),
    }),
  );
  const blocks = [
    titleText(header),
    ...header.segments.map(segmentText),
    ...[...header.keyslots].map(([id, keyslot]) => keyslotText(header, id, keyslot)),
    ...tokens,
    ...digests,
    ['Layout of the header', ...drawRows(layoutRows(header)).map((line) => `  ${line}`)],
    ['Layout of the payload', ...drawRows(segmentRows(header)).map((line) => `  ${line}`)],
  ];
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}
