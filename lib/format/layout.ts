/**
 * Where everything lies: the rows of the drawing that `dump` shows. Pure.
 */
import { formatBytes } from '../bytes.js';
import { LUKS1_HEADER_BYTES } from './luks1.js';
import { BINARY_HEADER_BYTES } from './luks2-binary.js';
import type { LuksHeader } from './model.js';

export interface LayoutRow {
  what: string;
  offsetBytes: number;
  /** Null where it reaches to the end of the device. */
  sizeBytes: number | null;
}

interface BoundedRow extends LayoutRow {
  sizeBytes: number;
}

function metadataRows(header: LuksHeader): BoundedRow[] {
  const { disk } = header;
  if (disk.version === 1) return [{ what: 'header', offsetBytes: 0, sizeBytes: LUKS1_HEADER_BYTES }];
  const copy = (name: string, offsetBytes: number): BoundedRow[] => [
    { what: `${name} binary header`, offsetBytes, sizeBytes: BINARY_HEADER_BYTES },
    {
      what: `${name} JSON area`,
      offsetBytes: offsetBytes + BINARY_HEADER_BYTES,
      sizeBytes: disk.hdrSizeBytes - BINARY_HEADER_BYTES,
    },
  ];
  return [...copy('primary', 0), ...copy('secondary', disk.hdrSizeBytes)];
}

function areaRows(header: LuksHeader): BoundedRow[] {
  if (header.disk.version === 1) {
    return header.disk.areas.map((place, id) => ({
      what: header.keyslots.has(id) ? `keyslot ${id}` : `keyslot ${id}, inactive`,
      ...place,
    }));
  }
  return [...header.keyslots].flatMap(([id, { type, area }]) =>
    area
      ? [
          {
            what: type === 'luks2' ? `keyslot ${id}` : `keyslot ${id} (${type})`,
            offsetBytes: area.offsetBytes,
            sizeBytes: area.sizeBytes,
          },
        ]
      : [],
  );
}

/** The rows, and what no row covers up to `endBytes`, as rows of their own. */
function withGaps(rows: BoundedRow[], endBytes: number): BoundedRow[] {
  const all: BoundedRow[] = [];
  let reached = 0;
  const fillTo = (offsetBytes: number) => {
    if (offsetBytes > reached) {
      all.push({ what: 'free', offsetBytes: reached, sizeBytes: offsetBytes - reached });
    }
  };
  for (const row of rows.toSorted((a, b) => a.offsetBytes - b.offsetBytes)) {
    fillTo(row.offsetBytes);
    all.push(row);
    reached = row.offsetBytes + row.sizeBytes;
  }
  fillTo(endBytes);
  return all;
}

/** The header's device, byte for byte up to the end of the header. */
export function layoutRows(header: LuksHeader): LayoutRow[] {
  return withGaps([...metadataRows(header), ...areaRows(header)], header.headerSizeBytes);
}

/** The segments on the payload's device, which is the header's where the header is attached. */
export function segmentRows(header: LuksHeader): LayoutRow[] {
  return header.segments.map((segment) => ({
    what: `segment ${segment.id} (${segment.encryption ?? segment.type})`,
    offsetBytes: segment.offsetBytes,
    sizeBytes: segment.sizeBytes === 'dynamic' ? null : segment.sizeBytes,
  }));
}

/** Rows as lines of text, offsets and ends right-aligned. */
export function drawRows(rows: readonly LayoutRow[]): string[] {
  const end = ({ offsetBytes, sizeBytes }: LayoutRow) =>
    sizeBytes === null ? 'end' : String(offsetBytes + sizeBytes);
  const width = Math.max(...rows.map((row) => Math.max(String(row.offsetBytes).length, end(row).length)));
  return rows.map((row) => {
    const size = row.sizeBytes === null ? 'to the end' : formatBytes(row.sizeBytes);
    return `${String(row.offsetBytes).padStart(width)} … ${end(row).padStart(width)}  ${row.what}, ${size}`;
  });
}
