/**
 * What else a device may begin with: the signatures that matter before something is overwritten. Each from
 * the on-disk format's own documentation.
 */

/** [what, offset, bytes] */
const SIGNATURES: readonly (readonly [string, number, string])[] = [
  ['an ext2, ext3 or ext4 file system', 1080, '\x53\xef'],
  ['an XFS file system', 0, 'XFSB'],
  ['a Btrfs file system', 65600, '_BHRfS_M'],
  ['an F2FS file system', 1024, '\x10\x20\xf5\xf2'],
  ['an NTFS file system', 3, 'NTFS    '],
  ['an exFAT file system', 3, 'EXFAT   '],
  ['a BitLocker volume', 3, '-FVE-FS-'],
  ['a swap area', 4086, 'SWAPSPACE2'],
  ['an LVM physical volume', 512, 'LABELONE'],
  ['a GUID partition table', 512, 'EFI PART'],
  ['a RAID member', 4096, '\xfc\x4e\x2b\xa9'],
  ['a boot sector', 510, '\x55\xaa'],
];

/** As far as signatures reach. */
export const SIGNATURE_BYTES = 65536 + 4096;

/** What `bytes`, the start of a device, is known to be, or null. */
export function findSignature(bytes: Buffer): string | null {
  const found = SIGNATURES.find(([, offset, magic]) => {
    const expected = Buffer.from(magic, 'latin1');
    return bytes.subarray(offset, offset + expected.length).equals(expected);
  });
  return found?.[0] ?? null;
}
