/**
 * Our sector ciphers against the kernel's dm-crypt, in a guest: for each row of dm-crypt-specs.ts the kernel
 * writes plaintext that we decrypt and reads ciphertext that we made. All rows share one boot.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { createSectorCipher, type SectorCipher } from '../../lib/crypto/sector-cipher.js';
import { bootGuest } from '../kit/guest.js';
import { type Random, seededRandom, sha256 } from '../kit/random.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';
import { DM_CRYPT_ROWS, type DmCryptRow, MAY_BE_ABSENT } from './dm-crypt-specs.js';

/** Of each row's region on the disk dm-crypt writes the first half; the second half is our ciphertext. */
const HALF_BYTES = 32768;
const REGION_BYTES = 2 * HALF_BYTES;

interface Job extends DmCryptRow {
  id: string;
  /** Of the region on the disk. */
  offsetBytes: number;
  key: Buffer;
}

/** What the guest says of a job. */
interface Verdict {
  /** The sum of what dm-crypt reads in the second half, or null where it refused the table. */
  readSum: string | null;
  /** The kernel's reasons. */
  log: string;
}

const nameOf = ({ spec, keyBytes, sectorSizeBytes, ivOffset }: DmCryptRow) =>
  `${spec}, key ${keyBytes * 8}, sectors of ${sectorSizeBytes}, iv_offset ${ivOffset}`;

/** Uses a job's cipher, and gives it up: a thread has room for some ten large key schedules. */
function withCipher<T>(row: DmCryptRow, key: Buffer, use: (cipher: SectorCipher) => T): T {
  const cipher = createSectorCipher(row.spec, key, row.sectorSizeBytes);
  try {
    return use(cipher);
  } finally {
    cipher.destroy();
  }
}

/** Documentation/admin-guide/device-mapper/dm-crypt.rst: start length "crypt" cipher key iv_offset device offset. */
function encodeTable(job: Job): string {
  const options = job.sectorSizeBytes === 512 ? '' : ` 1 sector_size:${job.sectorSizeBytes}`;
  const target = `crypt ${job.spec} ${job.key.toString('hex')} ${job.ivOffset}`;
  return `0 ${REGION_BYTES / 512} ${target} /dev/vda ${job.offsetBytes / 512}${options}`;
}

/** Each open device keeps a MiB of the guest's memory, and each run of dmsetup takes a twentieth of a second. */
const MOST_OPEN_DEVICES = 32;

/** `ID\tTABLE` lines in; out come `ID SUM`, or `ID refused` behind what the kernel said last. */
const SCRIPT = `
export DM_DISABLE_UDEV=1
open=
count=0
while IFS="$(printf '\\t')" read -r id table; do
  if dmsetup create "$id" --table "$table" >/dev/null 2>&1; then
    dd if=/plaintext of="/dev/mapper/$id" bs=${HALF_BYTES} conv=fsync 2>/dev/null || exit 1
    sum=$(dd if="/dev/mapper/$id" bs=${HALF_BYTES} skip=1 2>/dev/null | sha256sum)
    echo "$id \${sum%% *}"
    open="$open $id"
    count=$((count + 1))
    if [ $((count % ${MOST_OPEN_DEVICES})) = 0 ]; then
      dmsetup remove $open || exit 1
      open=
    fi
  else
    dmesg | tail -n 2
    echo "$id refused"
  fi
done </jobs`;

function parseVerdicts(output: string): Map<string, Verdict> {
  const verdicts = new Map<string, Verdict>();
  let log = '';
  for (const line of output.split('\n')) {
    const match = /^(row\d+) (refused|[0-9a-f]{64})$/.exec(line);
    if (match) verdicts.set(match[1]!, { readSum: match[2] === 'refused' ? null : match[2]!, log });
    log = match ? '' : `${log}${line}\n`;
  }
  return verdicts;
}

function encrypt(job: Job, plaintext: Buffer): Buffer {
  const data = Buffer.from(plaintext);
  withCipher(job, job.key, (cipher) => cipher.encryptInPlace(data, job.ivOffset));
  return data;
}

/** Gives each row its key and a place on the disk. */
function planJobs(random: Random): Job[] {
  return DM_CRYPT_ROWS.map((row, index) => ({
    ...row,
    id: `row${index}`,
    offsetBytes: index * REGION_BYTES,
    key: random.bytes(row.keyBytes),
  }));
}

/** Both directions, over the job's region as it is after the guest's end. */
function checkJob(t: Test, job: Job, plaintext: Buffer, image: Buffer, readSum: string): void {
  const [forKernel, forUs] = [plaintext.subarray(0, HALF_BYTES), plaintext.subarray(HALF_BYTES)];
  const written = image.subarray(job.offsetBytes, job.offsetBytes + HALF_BYTES);
  t.test(nameOf(job), async (t) => {
    t.ok(written.equals(encrypt(job, forKernel)), 'dm-crypt writes the ciphertext that we make');
    withCipher(job, job.key, (cipher) => cipher.decryptInPlace(written, job.ivOffset));
    t.ok(written.equals(forKernel), 'we read what dm-crypt wrote');
    t.equal(readSum, sha256(forUs), 'dm-crypt reads what we wrote');
  });
}

t.test('dm-crypt', { skip: skipUnless({ guest: true, tools: ['dmsetup'] }) }, async (t) => {
  const random = seededRandom((line) => t.comment(line));
  const plaintext = random.bytes(REGION_BYTES);
  const jobs = planJobs(random);

  const disk = path.join(makeTempDir(t), 'disk');
  fs.writeFileSync(disk, Buffer.concat(jobs.map((job) => encrypt(job, plaintext).fill(0, 0, HALF_BYTES))));
  const table = jobs.map((job) => `${job.id}\t${encodeTable(job)}\n`).join('');
  const files = { '/plaintext': plaintext.subarray(0, HALF_BYTES), '/jobs': table };
  const guest = await bootGuest(t, { script: SCRIPT, files, disks: [{ file: disk }], tools: ['dmsetup'] });
  t.equal(guest.exitStatus, 0, 'the guest got through all rows') || t.comment(guest.output);
  t.comment(`${jobs.length} rows in ${Math.round(guest.elapsedMs)} ms`);

  const verdicts = parseVerdicts(guest.output);
  const image = fs.readFileSync(disk);
  for (const job of jobs) {
    const verdict = verdicts.get(job.id);
    const isAbsent =
      verdict?.readSum === null && MAY_BE_ABSENT.test(job.spec) && verdict.log.includes('ENOENT');
    if (isAbsent) t.pass(nameOf(job), { skip: 'this kernel has no such cipher' });
    else if (!verdict?.readSum) t.fail(`${nameOf(job)}: dm-crypt refuses it: ${verdict?.log}`);
    else checkJob(t, job, plaintext, image, verdict.readSum);
  }
});
