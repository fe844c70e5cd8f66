#!/bin/sh
# luksfuse on 32-bit ARM: Debian's Node and cryptsetup for armhf under qemu-user, on the tree as it is built. As root, with
# debootstrap and qemu-user-static. Prints a line for each check; fails where one does. The system is made once, in the cache.
#   test/worlds/armhf.sh [TEST.js…]    those of dist/test/unit that crypto and formats have, without arguments
set -eu
cd "$(dirname "$0")/../.."
tree=$PWD
root=${XDG_CACHE_HOME:-$HOME/.cache}/luksfuse/worlds/trixie-armhf
binfmt=/proc/sys/fs/binfmt_misc
work=$(mktemp -d)
mkdir -p "${root%/*}"
exec 9>"$root.lock"
flock 9 # what is set up below is the whole machine's

# dpkg's own setup of the packages would run for minutes, and nothing here needs it.
make_root() {
  rm -rf "$root"
  debootstrap --foreign --arch=armhf --variant=minbase --include=nodejs,cryptsetup-bin,fuse3,mount \
    trixie "$work/root" >"$work/log" 2>&1 || { tail "$work/log" >&2; return 1; }
  for deb in "$work"/root/var/cache/apt/archives/*.deb; do dpkg -x "$deb" "$work/root"; done
  rm -rf "$work"/root/var/cache/apt/archives "$work/root/debootstrap"
  mv "$work/root" "$root"
  touch "$root/.ok"
}

# The builds for ARM of the packages that have native parts, in the versions that are installed here.
fetch_modules() {
  for package in @koromix/koffi-linux-arm:koffi @node-rs/argon2-linux-arm-gnueabihf:@node-rs/argon2; do
    version=$(node -p "require('./node_modules/${package#*:}/package.json').version")
    target=$root/opt/arm-modules/${package%:*}
    grep -qs "\"version\": \"$version\"" "$target/package.json" && continue
    mkdir -p "$target" "$work/pack"
    npm pack --silent --pack-destination "$work/pack" "${package%:*}@$version" >/dev/null
    tar -xzf "$work"/pack/*.tgz --strip-components=1 -C "$target"
    rm -r "$work/pack"
  done
}

clean_up() {
  [ ! -e "$work/registered" ] || echo -1 >$binfmt/luksfuse-arm
  [ ! -e "$work/mounted" ] || umount $binfmt
  rm -rf "$work"
}
trap clean_up EXIT

# The kernel is to start qemu for programs of ARM; the interpreter is opened now (F), since the chroot has none.
register() {
  if [ ! -e $binfmt/register ]; then
    mount -t binfmt_misc binfmt_misc $binfmt
    touch "$work/mounted"
  fi
  grep -qs 'flags:.*F' $binfmt/qemu-arm && return
  magic='\x7f\x45\x4c\x46\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  echo ":luksfuse-arm:M::$magic:$mask:$(command -v qemu-arm-static):F" >$binfmt/register
  touch "$work/registered"
}

[ -e "$root/.ok" ] || make_root
fetch_modules
register
cat >"$work/checks" <<'CHECKS'
set -u
failed=0
luksfuse() { node /tmp/tree/bin/luksfuse "$@"; }
check() {
  what=$1
  shift
  if "$@" >/tmp/said 2>&1; then echo "ok - armhf: $what"; else
    echo "not ok - armhf: $what"
    sed 's/^/  /' /tmp/said
    failed=$((failed + 1))
  fi
}
refuses() { # status pattern command…
  expected=$1 pattern=$2
  shift 2
  said=$("$@" 2>&1) && return 1
  [ $? = "$expected" ] && echo "$said" | grep "$pattern"
}
cheap='--pbkdf pbkdf2 --pbkdf-force-iterations 1000'
argon2='--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32'
unlock='--header /tmp/header --key-file /tmp/key'
cd /tmp
head -c 1M /dev/urandom >payload
head -c 1M /dev/urandom >data
printf first >key
printf second >key2
mkdir mountpoint
plain() { luksfuse cat $unlock payload | cmp - data; }
writes() { luksfuse write $unlock payload <data && plain; }
mounts() {
  said=$(luksfuse mount $unlock payload mountpoint 2>&1) && echo "$said" | grep 'arm has 32-bit addresses' && cmp mountpoint/payload data
}
syncs() { printf changed | tee mountpoint/payload | dd of=data conv=notrunc status=none && sync -d mountpoint/payload; }

echo "# versions: $(uname -sm) by qemu-user, Node $(node --version), $(cryptsetup --version | cut -d ' ' -f 1,2)"
check 'it is 32-bit ARM' test "$(node -p process.arch)" = arm
check 'format' luksfuse format $cheap $unlock payload
check 'format: cryptsetup opens it' cryptsetup open --test-passphrase --key-file key header
check 'add-key with argon2id' luksfuse add-key $argon2 --key-file key header --new-key-file key2
check 'add-key: cryptsetup opens it' cryptsetup open --test-passphrase --key-file key2 header
check 'test-key with argon2id' luksfuse test-key --key-file key2 header
check 'dump' luksfuse dump header
check 'write, cat' writes
check 'mount' mounts
check 'one writer' refuses 5 'in use\|being written' luksfuse cat $unlock payload
check 'write and sync through the mount' syncs
check 'umount' luksfuse umount mountpoint
check 'what was written is there' plain
check 'cryptsetup decrypts it' cryptsetup reencrypt --decrypt --batch-mode --force-offline-reencrypt $unlock payload
check 'cryptsetup finds what was written' cmp payload data
cd /tmp/tree
for file in "$@"; do check "$file" node "$file"; done
exit $((failed > 0))
CHECKS
[ $# -gt 0 ] || set -- dist/test/unit/crypto/*.test.js dist/test/unit/format/*.test.js
unshare -mpf --kill-child --propagation private --mount-proc sh -eu -c '
  root=$1 tree=$2 checks=$3
  shift 3
  mount --rbind /dev "$root/dev"
  mount -t proc proc "$root/proc"
  mount -t tmpfs none "$root/run"
  mount -t tmpfs none "$root/tmp"
  mkdir "$root/tmp/tree"
  mount --bind -o ro "$tree" "$root/tmp/tree"
  mount -t overlay none -o "lowerdir=$root/opt/arm-modules:$tree/node_modules" "$root/tmp/tree/node_modules"
  cp "$checks" "$root/tmp/checks"
  exec chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin LC_ALL=C TAP_TIMEOUT=0 \
    NODE_OPTIONS=--openssl-legacy-provider sh /tmp/checks "$@"
' sh "$root" "$tree" "$work/checks" "$@"
