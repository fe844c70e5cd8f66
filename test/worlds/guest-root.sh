#!/bin/sh
# Makes the root file system of a guest from Debian's packages, as an ext4 image in the cache: guest-program.ts puts luksfuse
# beside it, on a disk of its own. Packages are unpacked and not configured, so that it needs no machine of that architecture.
# Suites whose Node.js is too old get what one needs that is brought along. Needs root, for the owners of files.
#
#   guest-root.sh SUITE ARCH    such as bullseye amd64
set -eu
suite=$1 arch=$2
image=${XDG_CACHE_HOME:-$HOME/.cache}/luksfuse/guest/root-$suite-$arch.ext4
[ -e "$image" ] && exit 0

node=nodejs
case $suite in bullseye | bookworm) node=libstdc++6 ;; esac

mkdir -p "${image%/*}"
work=$(mktemp -d "${image%/*}/root-XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
"$(dirname "$0")/../kit/unpack-debian.sh" "$suite" "$arch" "$root" --with-dependencies base-files dash coreutils grep sed \
  diffutils util-linux mount fuse3 e2fsprogs libgcrypt20 cryptsetup-bin $node

# What the packages' scripts would have done.
chmod u+s "$root/bin/fusermount3"
[ -e "$root/bin/sh" ] || ln -s dash "$root/bin/sh"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/root" "$root/program"
printf '%s\n' root:x:0:0::/root:/bin/sh someone:x:1000:1000::/tmp:/bin/sh > "$root/etc/passwd"
printf '%s\n' root:x:0: someone:x:1000: > "$root/etc/group"
ln -sf /proc/self/mounts "$root/etc/mtab"
# init of this root, once the guest's own has switched to it.
printf '#!/bin/sh\nexec /program/init\n' > "$root/sbin/init"
chmod 755 "$root/sbin/init"

rm -rf "$root/usr/share/doc" "$root/usr/share/locale" "$root/usr/share/man"
size_kib=$(du -sk "$root" | cut -f 1)
truncate -s "$((size_kib * 5 / 4 + 16384))K" "$work/image"
PATH="$PATH:/usr/sbin:/sbin" mkfs.ext4 -q -F -O ^has_journal -d "$root" "$work/image"
mv "$work/image" "$image"
