#!/bin/sh
# Prints the path of a Debian's file system with what the tests need in it: debian.sh SUITE, such as trixie or sid. It is
# kept in the cache, for four weeks: then the suite has moved on. Needs root and debootstrap.
set -eu
suite=$1
dir=${XDG_CACHE_HOME:-$HOME/.cache}/luksfuse/worlds/$suite
packages=nodejs,fuse3,libfuse2t64,libgcrypt20,mount,passwd,procps,kmod,systemd,keyutils
packages=$packages,cryptsetup-bin,qemu-utils,qemu-system-common,fio,e2fsprogs,mandoc
mkdir -p "${dir%/*}"
# Whoever comes second finds it made.
exec 9>"$dir.lock"
flock 9

is_current() {
  [ -n "$(find "$dir" -maxdepth 0 -mtime -28 2>/dev/null)" ] && [ "$(cat "$dir/etc/world-packages" 2>/dev/null)" = "$packages" ]
}

if ! is_current; then
  # The mirror and the proxy are those of this machine.
  eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
  export http_proxy https_proxy
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | grep -m 1 '/debian/\?$') ||
    mirror=http://deb.debian.org/debian
  work=$(mktemp -d "${dir%/*}/make-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # In memory, since dpkg syncs every file; and whatever it mounts ends with the namespace.
  # shellcheck disable=SC2016 # for the inner shell
  unshare --mount --propagation private sh -euc '
    mount -t tmpfs -o mode=755 world /mnt
    debootstrap --variant=minbase --include="$2" "$3" /mnt "$4" >"$1/log" 2>&1 || { tail -n 20 "$1/log" >&2; exit 1; }
    rm "$1/log"
    cp -a /mnt/. "$1"
  ' sh "$work" "$packages" "$suite" "$mirror"
  # As an installer makes it; fusermount3 wants it.
  ln -sf ../proc/self/mounts "$work/etc/mtab"
  echo "$packages" >"$work/etc/world-packages"
  rm -rf "$dir"
  mv -T "$work" "$dir"
fi
echo "$dir"
