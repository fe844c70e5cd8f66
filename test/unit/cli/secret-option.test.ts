import t from 'tap';
import { parseSecretOption } from '../../../lib/cli/secret-option.js';

t.test("QEMU's syntax", async (t) => {
  t.strictSame(parseSecretOption('file=key'), { from: { file: 'key' }, format: 'raw' });
  t.strictSame(parseSecretOption('id=a,file=x,,y=z,format=base64'), {
    id: 'a',
    from: { file: 'x,y=z' },
    format: 'base64',
  });
  t.strictSame(parseSecretOption('keyring=42').from, { keyring: 42 });
  t.strictSame(parseSecretOption('keyring=vault:42').from, { keyring: 'vault:42' });
  t.strictSame(parseSecretOption('data=abc=,keyid=m,iv=AA==,format=base64'), {
    from: { data: 'abc=' },
    format: 'base64',
    encryption: { keyId: 'm', ivBase64: 'AA==' },
  });
});

t.test('what does not fit is refused, each with its reason', async (t) => {
  const refused: [string, RegExp][] = [
    ['', /give one of/],
    ['id=a', /give one of/],
    ['file=a,keyring=1', /give one of/],
    ['file=a,file=b', /file= is given twice/],
    ['file=a,format=hex', /raw or base64/],
    ['file=a,keyid=m', /need each other/],
    ['file=a,iv=AA==', /need each other/],
    ['data=visible', /every user can see/],
    ['secret,file=a', /"secret" is not one of/],
    ['file=a,qom-type=secret', /"qom-type" is not one of/],
  ];
  for (const [text, why] of refused)
    t.throws(() => parseSecretOption(text), { code: 'BAD_ARGUMENT', message: why });
});
