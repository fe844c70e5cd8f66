#!/bin/sh
# Unpacks Debian's newest cloud kernel for test/kit/guest.ts into the cache, where guest-kernel.ts looks.
# Nothing is installed: a kernel package would drag in an initramfs generator and change what this machine
# boots. Needs apt's package lists, depmod (package kmod) and an amd64 Debian; no root.
set -eu
dir=${XDG_CACHE_HOME:-$HOME/.cache}/luksfuse/guest
[ -e "$dir" ] && exit 0

package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9]\)/\1/p' | tail -n 1)
[ -n "$package" ] || { echo "fetch-guest-kernel: apt knows no linux-image-cloud-amd64" >&2; exit 1; }

mkdir -p "${dir%/*}"
work=$(mktemp -d "${dir%/*}/fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq "$package"
dpkg-deb -x linux-image-*.deb root
# Since Debian 13 the modules are under usr/, where depmod may or may not look.
[ -e root/lib ] || ln -s usr/lib root/lib
PATH="$PATH:/usr/sbin:/sbin" depmod -b root "$(ls root/lib/modules)"
mv -T root "$dir"
