#!/bin/sh
# Runs a command beside a fresh Debian 13 in which a .deb has just been installed: a minimal root without Node and FUSE,
# which debootstrap makes once into the cache, under an overlay that is gone afterwards.
#
#   fresh-debian.sh PACKAGE.deb "MORE PACKAGES" COMMAND…
#
# COMMAND finds the root directory in $ROOT, in a mount namespace of its own. Needs root, debootstrap and a mirror.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/luksfuse/worlds
base=$cache/bare-trixie

if [ "${1-}" != --inside ]; then
  [ $# -ge 3 ] || { sed -n '2,7p' "$0" >&2; exit 1; }
  if [ ! -e "$base" ]; then
    mkdir -p "$cache"
    partial=$(mktemp -d "$cache/partial-XXXXXX")
    debootstrap --variant=minbase trixie "$partial" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$partial.log" ||
      { tail "$partial.log" >&2; exit 1; }
    rm "$partial.log"
    chmod 755 "$partial"
    mv -T "$partial" "$base"
  fi
  exec unshare --mount --pid --fork --kill-child --propagation private --mount-proc "$0" --inside "$@"
fi

shift
package=$1 more=$2
shift 2
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
export ROOT=/mnt/root
mount -t overlay overlay -o "lowerdir=$base,upperdir=/mnt/upper,workdir=/mnt/work" $ROOT
mount -t proc proc $ROOT/proc
mount --rbind /sys $ROOT/sys
mount --rbind /dev $ROOT/dev
mount -t tmpfs tmpfs $ROOT/run
# What apt has fetched once it need not fetch for the next run.
mkdir -p "$cache/trixie-archives" "$cache/trixie-lists"
mount --bind "$cache/trixie-archives" $ROOT/var/cache/apt/archives
mount --bind "$cache/trixie-lists" $ROOT/var/lib/apt/lists
cp /etc/resolv.conf $ROOT/etc/resolv.conf 2>/dev/null || true
cp "$package" $ROOT/var/tmp/luksfuse.deb
in_root() { chroot $ROOT env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"; }
find "$cache/trixie-lists" -name '*Packages*' -mtime -1 | grep -q . || in_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
in_root apt-get install -y -qq --no-install-recommends -o APT::Keep-Downloaded-Packages=true /var/tmp/luksfuse.deb $more \
  >/mnt/log 2>&1 || { cat /mnt/log >&2; exit 1; }
rm $ROOT/var/tmp/luksfuse.deb
"$@"
