#!/bin/sh
# Unpacks a Debian kernel, and a busybox for it, for test/kit/guest.ts into the cache, where guest-kernel.ts looks. Nothing
# is installed: a kernel package would drag in an initramfs generator and change what this machine boots. Needs depmod
# (package kmod); no root.
#
#   fetch-guest-kernel.sh [SUITE [FLAVOUR]]    such as sid cloud-amd64, trixie arm64-16k
set -eu
suite=${1:-bookworm} flavour=${2:-cloud-amd64}
arch=${flavour#cloud-}
dir=${XDG_CACHE_HOME:-$HOME/.cache}/luksfuse/guest/$suite-$flavour
[ -e "$dir" ] && exit 0

mkdir -p "${dir%/*}"
work=$(mktemp -d "${dir%/*}/fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
"$(dirname "$0")/unpack-debian.sh" "$suite" "${arch%%-*}" "$work/root" "=linux-image-$flavour" busybox-static
# Since Debian 13 the modules are under usr/, where depmod may or may not look.
[ -e "$work/root/lib" ] || ln -s usr/lib "$work/root/lib"
PATH="$PATH:/usr/sbin:/sbin" depmod -b "$work/root" "$(ls "$work/root/lib/modules")"
mv -T "$work/root" "$dir"
