#!/bin/sh
# Runs a command in a world: enter.sh NAME ROOT NODE COMMAND…
# ROOT is a Debian's file system, or / for this machine's own; NODE takes the place of its `node`, unless it is "". A world
# has its own mounts, processes and host name, and its changes to ROOT are dropped, so nothing it does can be left behind;
# it shares only /dev, /sys, this checkout and the cache with the machine. Needs root.
set -eu
name=$1 root=$2 node=$3
checkout=$(cd "$(dirname "$0")/../.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}

if [ -z "${WORLD_STAGE:-}" ]; then
  WORLD_STAGE=$(mktemp -d)
  export WORLD_STAGE
  # unshare itself waits through every signal but this.
  trap 'kill -KILL $world 2>/dev/null || true; wait; rmdir "$WORLD_STAGE"' EXIT
  trap 'exit 129' HUP INT TERM
  unshare --mount --pid --fork --kill-child --uts --propagation private "$0" "$@" &
  world=$!
  wait $world
  exit
fi
shift 3

hostname "$name"
mount -t tmpfs world "$WORLD_STAGE"
new=$WORLD_STAGE/root
mkdir "$new" "$WORLD_STAGE/upper" "$WORLD_STAGE/work"
# Not a recursive bind mount: a clone of somebody's mount would keep that alive after it is unmounted.
mount -t overlay -o "lowerdir=$root,upperdir=$WORLD_STAGE/upper,workdir=$WORLD_STAGE/work" world "$new"
mount -t proc proc "$new/proc"
mount --rbind /sys "$new/sys"
mount --bind /dev "$new/dev"
mount --bind /dev/pts "$new/dev/pts"
for dir in tmp run dev/shm; do
  mount -t tmpfs -o mode=1777,nosuid world "$new/$dir"
done
chmod 755 "$new/run"
mkdir -p "$new/run/lock" "$new$cache" "$new$checkout" "$checkout/.tap"
mount --bind "$cache" "$new$cache"
mount --bind "$checkout" "$new$checkout"
# The test runner's notes, so that two worlds at a time do not mix theirs.
mount -t tmpfs world "$new$checkout/.tap"
if [ -n "$node" ]; then
  mount --bind "$node" "$new$(readlink -f "$(command -v node)")"
fi

cd "$new"
pivot_root . .
umount -l .
cd "$checkout"
# Little of the machine's environment: it may name files that a Debian lacks.
[ -e "${NODE_EXTRA_CA_CERTS:-}" ] || NODE_EXTRA_CA_CERTS=
status=0
env -i HOME="$HOME" XDG_CACHE_HOME="$cache" TERM="${TERM:-dumb}" LANG=C.UTF-8 REQUIRE_ALL="${REQUIRE_ALL:-}" \
  NODE_EXTRA_CA_CERTS="$NODE_EXTRA_CA_CERTS" \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" || status=$?
# Loop devices belong to no namespace: those on the world's own file systems are the world's.
own=" $(awk '/ - (tmpfs|overlay) world / || / - fuse/ { printf "%s ", $3 }' /proc/self/mountinfo)"
losetup --noheadings --output NAME,BACK-MAJ:MIN | while read -r device numbers; do
  case $own in *" $numbers "*) losetup --detach "$device" ;; esac
done
exit $status
