import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { makePair } from '../kit/cryptsetup.js';
import { withJson } from '../kit/luks2-image.js';
import { luksfuse, mustLuksfuse } from '../kit/luksfuse.js';
import { skipUnless } from '../kit/requirements.js';
import { makeTempDir } from '../kit/temp.js';

const skip = skipUnless({ tools: ['cryptsetup'] });

t.test('a header changed to name the null cipher is refused', { skip }, async (t) => {
  const pair = await makePair(t, { type: 'luks2', pbkdf: 'pbkdf2', sizeBytes: 65536 });
  const header = pair.header!;
  const tampered = withJson(fs.readFileSync(header), (json) => {
    json.segments['0'].encryption = 'cipher_null-ecb';
  });
  fs.writeFileSync(header, tampered);
  const cat = ['cat', '--header', header, '-d', pair.keyFile];
  const refused = await luksfuse([...cat, pair.payload]);
  t.equal(refused.code, 4);
  t.match(refused.stderr.toString(), /null cipher.*--allow-null-cipher/);
  t.equal(refused.stdout.length, 0);
  const { stdout } = await mustLuksfuse([...cat, '--allow-null-cipher', pair.payload]);
  t.ok(stdout.equals(fs.readFileSync(pair.payload)), 'the payload as it lies there');
});

t.test('format makes one only where it is asked for', async (t) => {
  const dir = makeTempDir(t);
  const at = (name: string) => path.join(dir, name);
  fs.writeFileSync(at('key'), 'a passphrase');
  fs.writeFileSync(at('payload'), Buffer.alloc(65536, 5));
  const cheap = [
    '--pbkdf',
    'pbkdf2',
    '--pbkdf-force-iterations',
    '1000',
    '-c',
    'cipher_null-ecb',
    '-s',
    '256',
  ];
  const format = ['format', '--header', at('header'), '-d', at('key'), ...cheap];
  t.equal((await luksfuse([...format, at('payload')])).code, 4);
  t.notOk(fs.existsSync(at('header')), 'nothing was made');
  await mustLuksfuse([...format, '--allow-null-cipher', at('payload')]);
  const cat = ['cat', '--header', at('header'), '-d', at('key'), '--allow-null-cipher', at('payload')];
  t.ok((await mustLuksfuse(cat)).stdout.equals(Buffer.alloc(65536, 5)));
});
