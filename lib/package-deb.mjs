/**
 * Makes a Debian package of the built program, packages/luksfuse_VERSION-1_ARCHITECTURE.deb, with the native libraries
 * of this machine's architecture. The same source and SOURCE_DATE_EPOCH (the last commit without it) give the same bytes.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

const root = path.join(import.meta.dirname, '..');
const read = (file) => fs.readFileSync(path.join(root, file));
const manifest = JSON.parse(read('package.json'));
const version = `${manifest.version}-1`;
const output = (command, args) => execFileSync(command, args, { cwd: root, encoding: 'utf8' }).trim();
const architecture = output('dpkg', ['--print-architecture']);
const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? output('git', ['log', '-1', '--format=%ct']));
const maintainer = `${process.env.DEBFULLNAME ?? 'The luksfuse authors'} <${process.env.DEBEMAIL ?? 'luksfuse@debian.invalid'}>`;

process.umask(0o022);
const stage = fs.mkdtempSync(path.join(os.tmpdir(), 'luksfuse-deb-'));
process.on('exit', () => fs.rmSync(stage, { recursive: true, force: true }));
fs.chmodSync(stage, 0o755);
const HOME = 'usr/lib/luksfuse';
const DOC = 'usr/share/doc/luksfuse';

function put(file, content, mode = 0o644) {
  const target = path.join(stage, file);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.writeFileSync(target, content, { mode });
}

function putCompressed(file, text) {
  put(`${file}.gz`, gzipSync(text, { level: 9 }));
}

function link(file, target) {
  fs.mkdirSync(path.dirname(path.join(stage, file)), { recursive: true });
  fs.symlinkSync(target, path.join(stage, file));
}

/** Of the packages: code, but not what it was built from, nor what is for another C library. */
const IS_RUN = /(\.[cm]?js|\.node|package\.json)$/;
const IS_UNUSED = /^(vendor|doc)\/|\/src\/.*\/|^musl_|cnoke|browser/;

function putPackage(name) {
  const dir = path.join('node_modules', name);
  for (const file of fs.readdirSync(path.join(root, dir), { recursive: true, encoding: 'utf8' })) {
    if (IS_RUN.test(file) && !IS_UNUSED.test(file)) put(path.join(HOME, dir, file), read(path.join(dir, file)));
  }
}

/** Names of the packages that are needed at run time and are installed here. */
function listPackages(names, seen = new Set()) {
  for (const name of names) {
    const file = path.join(root, 'node_modules', name, 'package.json');
    if (seen.has(name) || !fs.existsSync(file)) continue;
    const { dependencies, optionalDependencies } = JSON.parse(fs.readFileSync(file, 'utf8'));
    listPackages(Object.keys({ ...dependencies, ...optionalDependencies }), seen.add(name));
  }
  return [...seen].sort();
}

function licenceOf(name) {
  const dir = path.join(root, 'node_modules', name);
  const file = fs.readdirSync(dir).find((entry) => /^licen[cs]e/i.test(entry));
  return file ? `${name}\n\n${fs.readFileSync(path.join(dir, file), 'utf8').trim()}\n` : '';
}

/** What the text of a field of several paragraphs looks like in Debian's copyright format. */
const asField = (text) => text.trimEnd().replace(/^\s*$/gm, '.').replace(/^/gm, ' ');

const packages = listPackages(Object.keys(manifest.dependencies));
const bundled = read('dist/lib/program/LICENSES').toString();
const licences = [...packages.map(licenceOf).filter(Boolean), bundled].join('\n\n');

// The package of npm says which files there are; what is neither program nor manual is documentation.
const [{ files: shipped }] = JSON.parse(output('npm', ['pack', '--dry-run', '--json', '--ignore-scripts']));
for (const { path: file, mode } of shipped) {
  if (/^(bin|dist\/lib\/program|package\.json)/.test(file)) put(`${HOME}/${file}`, read(file), mode);
  else if (!/^(dist|man|LICENSE)/.test(file)) put(`${DOC}/${file}`, read(file));
}
for (const name of packages) putPackage(name);
link('usr/bin/luksfuse', '../lib/luksfuse/bin/luksfuse');
for (const name of ['mount.fuse.luksfuse', 'umount.fuse.luksfuse']) {
  link(`usr/sbin/${name}`, '../bin/luksfuse');
  link(`usr/share/man/man8/${name}.8.gz`, '../man1/luksfuse.1.gz');
}

const unit = read('lib/systemd/luksfuse@.service').toString();
put('usr/lib/systemd/system/luksfuse@.service', unit.replace(/=(-?)luksfuse /g, '=$1/usr/bin/luksfuse ').replace(/^# Copy this.*\n/m, ''));
for (const page of manifest.man) {
  putCompressed(`usr/share/man/man${page.at(-1)}/${path.basename(page)}`, read(page));
}
const COMPLETIONS = {
  bash: 'bash-completion/completions/luksfuse',
  zsh: 'zsh/vendor-completions/_luksfuse',
  fish: 'fish/vendor_completions.d/luksfuse.fish',
};
for (const [shell, file] of Object.entries(COMPLETIONS)) {
  put(`usr/share/${file}`, execFileSync(process.execPath, [path.join(root, 'bin/luksfuse'), 'completion', shell]));
}

const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
putCompressed(
  `${DOC}/changelog.Debian`,
  `luksfuse (${version}) unstable; urgency=medium\n\n  * Version ${manifest.version}.\n\n -- ${maintainer}  ${date}\n`,
);
put(
  `${DOC}/copyright`,
  `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: luksfuse

Files: *
Copyright: 2026 The luksfuse authors
License: MIT
${asField(read('LICENSE').toString().split('\n').slice(4).join('\n'))}

Files: usr/lib/luksfuse/node_modules/* usr/lib/luksfuse/dist/*
Copyright: the authors named in the notices below
License: MIT-and-notices
${asField(licences)}
`,
);
const files = fs
  .readdirSync(stage, { recursive: true, encoding: 'utf8' })
  .filter((name) => fs.lstatSync(path.join(stage, name)).isFile())
  .sort();
const digest = (name) => createHash('md5').update(fs.readFileSync(path.join(stage, name))).digest('hex');
const bytes = files.reduce((sum, name) => sum + fs.statSync(path.join(stage, name)).size, 0);
put('DEBIAN/md5sums', files.map((name) => `${digest(name)}  ${name}\n`).join(''));
put(
  'DEBIAN/control',
  `Package: luksfuse
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${Math.ceil(bytes / 1024)}
Depends: nodejs (>= ${/\d+/.exec(manifest.engines.node)}), fuse3, mount, libc6 (>= 2.25), libstdc++6, libgcc-s1
Recommends: libgcrypt20
Suggests: qemu-utils, cryptsetup-bin
Section: admin
Priority: optional
Description: mount the plaintext of a LUKS volume as one file, in userspace
 luksfuse unlocks LUKS1 and LUKS2 volumes, with a detached header or not, and
 presents the decrypted payload through FUSE as one file that can be read,
 written, mounted as a loop device or given to a virtual machine. It needs no
 device-mapper.
`,
);

const target = path.join(root, 'packages', `luksfuse_${version}_${architecture}.deb`);
fs.mkdirSync(path.dirname(target), { recursive: true });
execFileSync('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', stage, target], {
  env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
  stdio: ['ignore', 'ignore', 'inherit'],
});
process.stdout.write(`${target}\n`);
