#!/bin/sh
# What a guest does with luksfuse, on every kernel and architecture: mount, compare, write, fsync, kill the server, file
# system on a loop device, upgrade, umount; the same without supervisor, and as a user. Each step says "ok" or "not ok"; the
# last line but the status tells the digest of the plaintext. The payload is /dev/vdc.
PATH=/program/luksfuse/bin:$PATH
plain=/run/mnt/payload
failed=0

# since MAJOR MINOR: the kernel is that one, or newer.
since() {
  release=$(uname -r)
  major=${release%%.*} minor=${release#*.}
  [ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "${minor%%.*}" -ge "$2" ]; }
}

# Requests that a dead server had read are sent again since Linux 6.9; before, they fail.
has_resend() {
  since 6 9
}

# step WHAT FUNCTION: in a subshell that ends at the first command that fails.
step() {
  start=$(date +%s)
  (set -e; "$2") > /run/said 2>&1
  status=$?
  seconds=$(($(date +%s) - start))
  if [ $status = 0 ]; then
    echo "ok $1 ($seconds s)"
  else
    echo "not ok $1 (status $status, $seconds s)"
    sed 's/^/# /' /run/said
    failed=$((failed + 1))
  fi
}

# refused STATUS TEXT COMMAND...: the command fails so, and says that.
refused() {
  expected=$1 text=$2
  shift 2
  status=0
  "$@" > /run/refused 2>&1 || status=$?
  cat /run/refused
  [ $status = "$expected" ] && grep -q -i "$text" /run/refused
}

# A command after ! would not end a step.
not() {
  if "$@"; then return 1; fi
}

# The process that serves, found without starting luksfuse: a Node.js takes seconds here.
server() {
  grep -l -a -E '(server|daemon)-main' /proc/[0-9]*/cmdline | sed -n 's:^/proc/\([0-9]*\)/.*:\1:p' | grep -v "^$$\$" | tail -n 1
}

mount_payload() {
  mkdir -p /run/mnt
  luksfuse mount --header /program/header --key-file /program/key "$@" /dev/vdc /run/mnt
}

is_ours() {
  grep -q ' /run/mnt .* fuse.luksfuse ' /proc/self/mountinfo
}

mounts() {
  mount_payload
  is_ours
}

reads() {
  sha256sum < $plain | grep -q "$(cat /program/plain.sha256)"
}

# direct BLOCKSIZE COUNT: COUNT blocks, read past the page cache, are what cryptsetup encrypted.
direct() {
  echo "$2 blocks of $1"
  dd if=$plain bs="$1" count="$2" iflag=direct status=none > /run/direct
  cmp -n "$(stat -c %s /run/direct)" /run/direct /run/plain
}

# One request is 256 pages at most, which are 4 KiB or more.
reads_directly() {
  cat $plain > /run/plain
  for count in '512 200' '4k 100' '64k 16' '1M 16' '2M 8' '4M 4' '8M 2'; do direct $count; done
}

writes() {
  dd if=/program/pattern of=$plain bs=64k seek=16 conv=notrunc,fsync status=none
  dd if=/program/pattern of=$plain bs=2M seek=1 oflag=direct conv=notrunc,fsync status=none
  dd if=$plain bs=1M skip=1 count=1 iflag=direct status=none | cmp - /program/pattern
  dd if=$plain bs=1M skip=2 count=1 status=none | cmp - /program/pattern
}

has_fixed_size() {
  refused 1 'No space left' dd if=/program/key of=$plain oflag=append conv=notrunc
  refused 1 '' truncate -s 1M $plain
  # FUSE hands the zeroing of a range on since Linux 5.14.
  if since 5 14; then
    fallocate -z -o 3M -l 1M $plain
    dd if=$plain bs=1M skip=3 count=1 status=none | tr -d '\0' | wc -c | grep -qx 0
  else
    refused 1 'not supported' fallocate -z -o 3M -l 1M $plain
  fi
  refused 1 'not supported\|unsupported' fallocate -p -o 3M -l 1M $plain
}

kill_server() {
  before=$(server)
  kill -9 "$before"
  echo "killed $before"
}

# Writes go on while the server dies.
survives() {
  dd if=/program/pattern of=$plain bs=4k seek=1024 oflag=direct conv=notrunc,fsync status=none &
  writer=$!
  kill_server
  written=0
  wait $writer || written=$?
  echo "the writer ended with $written"
  [ $written = 0 ] || not has_resend
  dd if=/program/pattern of=$plain bs=64k seek=64 conv=notrunc,fsync status=none
  echo "$(server) goes on"
  dd if=$plain bs=1M skip=4 count=1 iflag=direct status=none | cmp - /program/pattern
}

# Where requests can fail, a file system under load must not meet that: its server is killed while it is idle.
carries_ext4() {
  mkfs.ext4 -q -F $plain
  mkdir -p /run/ext4
  mount -o loop $plain /run/ext4
  if has_resend; then
    cp /program/pattern /run/ext4/first &
    kill_server
    wait $!
  else
    cp /program/pattern /run/ext4/first
    sync
    kill_server
  fi
  cp /program/pattern /run/ext4/second
  umount /run/ext4
  e2fsck -fn $plain
  mount -o loop,ro $plain /run/ext4
  cmp /run/ext4/first /program/pattern
  cmp /run/ext4/second /program/pattern
  umount /run/ext4
}

upgrades() {
  if has_resend; then
    before=$(server)
    luksfuse upgrade /run/mnt
    [ "$(server)" != "$before" ]
    luksfuse status /run/mnt | grep -q "$(server)"
    e2fsck -fn $plain
  else
    refused 4 'must be unmounted to be upgraded: it needs Linux 6.9' luksfuse upgrade /run/mnt
  fi
}

unmounts() {
  luksfuse umount /run/mnt
  refused 1 'nothing is mounted' luksfuse status /run/mnt
  not is_ours
  not grep -l -a -E '(supervisor|server)-main' /proc/[0-9]*/cmdline
}

is_cleared() {
  mount_payload --no-supervise
  kill_server
  sleep 1
  refused 1 'not connected' cat $plain
  luksfuse umount /run/mnt
  not is_ours
}

serves_user() {
  mkdir /tmp/user
  cp /program/header /program/key /tmp/user
  dd if=/dev/vdc of=/tmp/user/payload bs=1M status=none
  mkdir /tmp/user/mnt
  chown -R someone:someone /tmp/user
  setpriv --reuid 1000 --regid 1000 --clear-groups sh -ec '
    cd /tmp/user
    luksfuse mount --header header --key-file key payload mnt
    luksfuse list
    sha256sum < mnt/payload > before
    dd if=/program/pattern of=mnt/payload bs=64k seek=16 conv=notrunc,fsync status=none
    dd if=mnt/payload bs=1M skip=1 count=1 iflag=direct status=none | cmp - /program/pattern
    luksfuse umount mnt'
  luksfuse cat --header /program/header --key-file /program/key /dev/vdc | sha256sum | cmp - /tmp/user/before
}

pages=$(sed -n 's/^KernelPageSize: *//p' /proc/self/smaps | head -n 1)
echo "versions: $(uname -srm), pages of $pages, Node $(node --version), util-linux $(mount --version | cut -d ' ' -f 4)"
step 'mounts' mounts
is_ours || exit 1
step 'reads what cryptsetup encrypted' reads
step 'reads directly, in blocks of 512 bytes to 8 MiB' reads_directly
step 'writes, syncs and reads back' writes
step 'has a fixed size' has_fixed_size
step 'goes on when the server is killed' survives
step 'carries ext4 on a loop device when the server is killed' carries_ext4
step 'upgrades, or says why not' upgrades
step 'unmounts and leaves nothing' unmounts
step 'without supervisor: a dead mount is cleared' is_cleared
step 'serves a user' serves_user
# A file of tests, and of what it says only what went wrong.
passes_test() {
  cd /program/luksfuse
  TAP_TIMEOUT=0 node "dist/test/$test.test.js" > /run/tap || {
    grep -v '^ *ok ' /run/tap
    exit 1
  }
}
for test in $(cat /program/tests); do
  step "passes $test" passes_test
done

echo "plaintext: $(luksfuse cat --header /program/header --key-file /program/key /dev/vdc | sha256sum | cut -d ' ' -f 1)"
exit $((failed > 0))
