import t from 'tap';
import { expandCommandLine, parseMountOptions } from '../../../lib/cli/mount-options.js';

t.test('options of mount(8) become those of luksfuse mount', async (t) => {
  t.same(parseMountOptions('ro,allow_other,header=/h,key_file=/k,mode=0640'), [
    ...['--read-only', '--allow-other', '--header', '/h', '--key-file', '/k', '--mode', '0640'],
  ]);
  t.same(parseMountOptions('rw,noauto,nofail,_netdev,user,x-systemd.requires=a.service,comment=b'), []);
  t.same(parseMountOptions('key_file=/a=b'), ['--key-file', '/a=b']);
  t.same(parseMountOptions(''), []);
});

t.test('unknown ones are refused by name', async (t) => {
  for (const option of ['bogus', 'bogus=1', 'header', 'ro=1', 'passphrase=x', '=x']) {
    t.throws(
      () => parseMountOptions(`ro,${option}`),
      { code: 'BAD_ARGUMENT', message: `"${option}"` },
      option,
    );
  }
});

t.test('-o on the command line of mount, and of no other command', async (t) => {
  const expand = (...words: string[]) => expandCommandLine(['node', '/usr/bin/luksfuse', ...words])?.slice(2);
  t.same(expand('mount', '-o', 'ro,header=/h', 'p', 'm'), [
    'mount',
    '--read-only',
    '--header',
    '/h',
    'p',
    'm',
  ]);
  t.same(expand('mount', '-oro', 'p', 'm'), ['mount', '--read-only', 'p', 'm']);
  t.same(expand('mount', '--', '-o', 'm'), ['mount', '--', '-o', 'm']);
  t.same(expand('dump', '-o', 'x'), ['dump', '-o', 'x']);
  t.throws(() => expand('mount', 'p', 'm', '-o'), { code: 'BAD_ARGUMENT' });
});

t.test('run by mount(8)', async (t) => {
  const help = (...words: string[]) =>
    expandCommandLine(['node', '/sbin/mount.fuse.luksfuse', ...words])?.slice(2);
  t.same(help('p', 'm', '-o', 'rw,header=/h', '-t', 'fuse.luksfuse'), [
    ...['mount', '--quiet', '--header', '/h', '--', 'p', 'm'],
  ]);
  t.same(help('-odd', 'm', '-sn', '-o', 'ro'), ['mount', '--quiet', '--read-only', '--', '-odd', 'm']);
  t.equal(help('p', 'm', '-f'), undefined, 'a fake mount does nothing');
  t.throws(() => help('p'), { code: 'BAD_ARGUMENT' });
});

t.test('run by umount(8)', async (t) => {
  const help = (...words: string[]) =>
    expandCommandLine(['node', '/sbin/umount.fuse.luksfuse', ...words])?.slice(2);
  t.same(help('/m'), ['umount', '--', '/m']);
  t.same(help('/m', '-v', '-r', '-t', 'fuse.luksfuse'), ['umount', '--', '/m']);
  t.same(help('/m', '-l', '-t', 'fuse.luksfuse'), ['umount', '--lazy', '--', '/m']);
  t.throws(() => help(), { code: 'BAD_ARGUMENT' });
});
