/**
 * The programs people use on the mounted file: it behaves as a block device of a fixed size would.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { decryptPayload, makePair } from '../kit/cryptsetup.js';
import { mountVolume } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { mustRun, run } from '../kit/run.js';

const MiB = 1024 * 1024;
const skip = skipUnless({ root: true, fuse: true, tools: ['cryptsetup', 'dd', 'cp'] });

t.test('writing over the file', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sectorSizeBytes: 4096, sizeBytes: 2 * MiB });
  const { file, umount } = await mountVolume(t, pair);
  const model = Buffer.from(pair.plaintext);
  const source = path.join(pair.dir, 'source');
  const shell = (command: string) => mustRun('sh', ['-c', command], { env: { F: file, S: source } });
  const commands: [string, number][] = [
    ['cp "$S" "$F"', 0],
    ['cat "$S" > "$F"', 0],
    ['dd if="$S" of="$F" status=none', 0],
    ['dd if="$S" of="$F" status=none bs=777 seek=100 conv=notrunc', 77_700],
    ['dd if="$S" of="$F" status=none bs=4096 seek=10 oflag=direct conv=notrunc,fsync', 40_960],
    ['cat "$S" 1<> "$F"', 0],
  ];
  for (const [index, [command, offset]] of commands.entries()) {
    const data = Buffer.alloc(40_960, `${command} `);
    fs.writeFileSync(source, data);
    await shell(command);
    data.copy(model, offset);
    t.equal(fs.statSync(file).size, model.length, `${command}: the size stays`);
    t.ok(fs.readFileSync(file).equals(model), `${command}: and so does what was not written (${index})`);
  }
  await shell(': > "$F"');
  t.ok(fs.readFileSync(file).equals(model), 'truncating it alone changes nothing');
  await umount();
  t.ok((await decryptPayload(pair)).equals(model));
});

for (const cache of ['auto', 'writeback', 'none']) {
  t.test(`truncating it under another user, cache ${cache}`, { skip }, async (t) => {
    const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
    const { file } = await mountVolume(t, pair, { args: ['--cache', cache] });
    const fd = fs.openSync(file, 'r+');
    t.teardown(() => fs.closeSync(fd));
    const data = Buffer.from('written before');
    fs.writeSync(fd, data, 0, data.length, 1000);
    fs.closeSync(fs.openSync(file, 'w'));
    const seen = Buffer.alloc(data.length);
    t.equal(fs.readSync(fd, seen, 0, seen.length, 1000), seen.length, 'the other still reads');
    t.ok(seen.equals(data), 'what it wrote');
    t.equal(fs.fstatSync(fd).size, MiB, 'in a file of the same size');
  });
}

t.test('what a block device refuses', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const { file, mountpoint } = await mountVolume(t, pair);
  t.throws(() => fs.truncateSync(file, 100), { code: 'EINVAL' }, 'to shrink');
  t.throws(() => fs.truncateSync(file, 2 * MiB), { code: 'EINVAL' }, 'to grow');
  t.doesNotThrow(() => fs.truncateSync(file, MiB), 'but its own size is fine');
  t.throws(() => fs.appendFileSync(file, 'more'), { code: 'ENOSPC' }, 'to append');
  t.throws(() => fs.rmSync(file), 'to be removed');
  t.throws(() => fs.renameSync(file, `${file}2`), 'to be renamed');
  t.throws(() => fs.writeFileSync(path.join(mountpoint, 'other'), ''), 'to have a file beside it');
  t.throws(() => fs.mkdirSync(path.join(mountpoint, 'directory')), 'or a directory');
  t.throws(() => fs.statSync(path.join(mountpoint, 'none')), { code: 'ENOENT' });
  const dd = await run('dd', [`if=/dev/zero`, `of=${file}`, 'bs=1M', 'count=2', 'conv=notrunc']);
  t.not(dd.code, 0, 'to be written past its end');
  t.match(dd.stderr, /No space left/);
  t.ok(fs.readFileSync(file).equals(Buffer.alloc(MiB)), 'though up to there it is written');
});

t.test('looking at the file', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', sizeBytes: MiB });
  const { file, mountpoint } = await mountVolume(t, pair);
  const listing = (await mustRun('ls', ['-la', mountpoint])).stdout.toString();
  t.match(listing, /^-rw------- .*payload$/m);
  t.equal((await run('stat', ['-f', mountpoint])).code, 0, 'statfs');
  const { stdout } = await mustRun('sha256sum', [file]);
  const plain = path.join(pair.dir, 'plain');
  fs.writeFileSync(plain, pair.plaintext);
  t.equal(
    stdout.toString().slice(0, 64),
    (await mustRun('sha256sum', [plain])).stdout.toString().slice(0, 64),
  );
  t.equal((await run('cmp', [file, plain])).code, 0);
  t.equal((await run('cp', ['--sparse=always', file, `${plain}2`])).code, 0, 'SEEK_HOLE and SEEK_DATA');
  t.ok(fs.readFileSync(`${plain}2`).equals(pair.plaintext));
  t.equal((await run('test', ['-w', file])).code, 0, 'access');
  const touched = await run('touch', ['-d', '2001-01-01', file]);
  t.ok([0, 1].includes(touched.code ?? -1), 'its times may be set, or not');
});
