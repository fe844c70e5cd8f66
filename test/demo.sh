#!/bin/sh
# The main job, shown on a pair that it makes in a temporary directory: a header, a payload and a key; mounted, the
# plaintext listed, a file system made in it, checked, and all unmounted again. Needs root, as mounting does.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/luksfuse-demo.XXXXXX")
cleanup() {
  bin/luksfuse umount "$work/mnt" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT INT TERM

run() {
  printf '\n$ %s\n' "$*"
  "$@"
}

mkdir "$work/mnt"
head -c 32 /dev/urandom > "$work/key"
head -c 67108864 /dev/urandom > "$work/payload.img"
run bin/luksfuse format --header "$work/header.img" --key-file "$work/key" "$work/payload.img"

run bin/luksfuse mount --header "$work/header.img" --key-file "$work/key" "$work/payload.img" "$work/mnt"
run ls -l "$work/mnt"
run mkfs.ext4 -q "$work/mnt/payload"
run e2fsck -fn "$work/mnt/payload"
run bin/luksfuse umount "$work/mnt"
run ls -l "$work/mnt"

printf '\nThe main job works: header, payload and key in, one plaintext file out.\n'
