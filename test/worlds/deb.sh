#!/bin/sh
# Installs the .deb in a fresh Debian 13, uses it as its users would, and removes it, and tells so in TAP. Needs root; see
# fresh-debian.sh.
#
#   test/worlds/deb.sh [PACKAGE.deb]      by default the one that "npm run package" has made
set -eu
cd "$(dirname "$0")/../.."

if [ "${1-}" != --beside ]; then
  package=${1:-$(echo packages/*.deb)}
  ! command -v lintian >/dev/null || lintian --fail-on error --suppress-tags initial-upload-closes-no-bugs "$package"
  exec test/worlds/fresh-debian.sh "$package" 'systemd man-db bash-completion zsh fish' "$0" --beside
fi

chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 bash -euo pipefail <<'INSIDE'
current=install
step() { echo "ok - $current"; current=$*; }
trap 'echo "not ok - $current: line $LINENO: $BASH_COMMAND"' ERR

step version, dependencies
luksfuse --version
apt-get check -qq
dpkg --verify luksfuse

step mount, as a command and by mount\(8\)
cd /root
mkdir mnt
truncate -s 8M payload
echo key > key
luksfuse format --pbkdf-memory 32768 --key-file key --header header payload
luksfuse mount --key-file key --header header payload mnt
ls -l mnt
seq 1 100000 > text
dd if=text of=mnt/payload conv=notrunc,fsync status=none
luksfuse status mnt
luksfuse list
luksfuse umount mnt
luksfuse cat --key-file key --header header --length "$(stat -c %s text)" payload | cmp - text
mount -t fuse.luksfuse -o header=header,key_file=key,ro payload mnt
head -c "$(stat -c %s text)" mnt/payload | cmp - text
# umount(8) runs our helper, so the payload is closed when it returns.
umount mnt
luksfuse format --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file key --header header payload
rm -r mnt payload key header text

step manual
for page in luksfuse luksfuse-header luksfuse-format mount.fuse.luksfuse umount.fuse.luksfuse; do man -w "$page"; done

step completions
bash -c '. /usr/share/bash-completion/bash_completion; _comp_load luksfuse; complete -p luksfuse'
zsh -fc 'autoload -Uz compinit && compinit -D && print $_comps[luksfuse] && autoload +X _luksfuse' | grep -x _luksfuse
fish -c 'complete -C "luksfuse moun"' | grep mount

step unit
systemd-analyze verify /usr/lib/systemd/system/luksfuse@.service

step remove
apt-get purge -y -qq luksfuse >/dev/null
leftovers=$(find / -xdev -name '*luksfuse*' -not -path '/var/tmp/*' -not -path '/var/log/*' -not -path '/var/cache/*')
[ -z "$leftovers" ] || { echo "not ok - left behind: $leftovers"; exit 1; }
step
INSIDE
