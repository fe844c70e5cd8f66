#!/bin/sh
# What a shutdown leaves behind: systemd boots a fresh Debian 13 with the .deb in it, in namespaces of its own, and mounts
# volumes, with file systems on them: one by a line of fstab and one by the unit, their payloads on a file system of their
# own, and one whose file system is mounted by hand, so that systemd does not know what it stands on. Data is written and
# the machine powered off. Then all of it must be in the payloads, and their file systems must have been unmounted.
# The kernel goes on: what systemd-shutdown does after the units are stopped is not part of this.
#
#   test/worlds/shutdown.sh [PACKAGE.deb]      by default the one that "npm run package" has made. Needs root
set -eu
cd "$(dirname "$0")/../.."

if [ "${1-}" != --beside ]; then
  package=${1:-$(echo packages/*.deb)}
  exec test/worlds/fresh-debian.sh "$package" 'systemd-sysv e2fsprogs' "$0" --beside
fi

readonly HOME_OF_PAYLOADS=$ROOT/payloads.img
cat >"$ROOT/prepare" <<'PREPARE'
set -eu
mkdir -p /etc/luksfuse /mnt/fstab /data/fstab /data/unit /data/hand /srv /var/log/journal
truncate -s 100M /payloads.img
mke2fs -q -t ext4 /payloads.img
mount -o loop /payloads.img /srv
for name in fstab unit hand; do
  truncate -s 24M /srv/$name.img
  mke2fs -q -t ext4 /plain 24M
  echo key >/etc/luksfuse/$name.key
  set -- --key-file /etc/luksfuse/$name.key --header /etc/luksfuse/$name.header
  luksfuse format --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$@" /srv/$name.img
  luksfuse write "$@" /srv/$name.img </plain
  rm /plain
done
mv /srv/hand.img /hand.img
umount /srv
configure() {
  printf 'PAYLOAD=%s\nMOUNTPOINT=/run/%s\nOPTIONS=--header /etc/luksfuse/%s.header\n' "$2" "$1" "$1" >"/etc/luksfuse/$1.conf"
}
configure unit /srv/unit.img
configure hand /hand.img
options=header=/etc/luksfuse/fstab.header,key_file=/etc/luksfuse/fstab.key,nofail,_netdev
cat >/etc/fstab <<END
/payloads.img /srv ext4 loop 0 2
/srv/fstab.img /mnt/fstab fuse.luksfuse $options,x-systemd.requires-mounts-for=/srv 0 0
/mnt/fstab/payload /data/fstab ext4 loop,nofail,_netdev 0 0
/run/unit/payload /data/unit ext4 loop,nofail,x-systemd.requires=luksfuse@unit.service 0 0
END
cat >/usr/local/sbin/write-and-power-off <<'END'
#!/bin/sh
set -e
mount -o loop /run/hand/payload /data/hand
# It is not systemd's to unmount before systemd has seen it, which a busy machine delays.
timeout 60 sh -c 'until systemctl --quiet is-active data-hand.mount; do sleep 0.1; done'
for name in fstab unit hand; do
  mountpoint /data/$name
  seq 1 100000 >/data/$name/synced
  sync /data/$name/synced
  seq 1 200000 >/data/$name/unsynced
done
systemctl poweroff --no-block
END
chmod 755 /usr/local/sbin/write-and-power-off
cat >/etc/systemd/system/test.service <<END
[Unit]
FailureAction=poweroff
After=multi-user.target remote-fs.target data-fstab.mount data-unit.mount
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/write-and-power-off
[Install]
WantedBy=graphical.target
END
systemctl --quiet enable test.service luksfuse@unit.service luksfuse@hand.service
# What is the machine's, not the container's.
systemctl --quiet mask console-getty.service systemd-modules-load.service sys-kernel-debug.mount \
  sys-kernel-config.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount
PREPARE
chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 sh /prepare

umount -l "$ROOT/proc" "$ROOT/sys" "$ROOT/run" "$ROOT/dev" "$ROOT/var/cache/apt/archives" "$ROOT/var/lib/apt/lists"
mkdir /mnt/cgroup
mount -t cgroup2 cgroup2 /mnt/cgroup
cgroup=/mnt/cgroup/luksfuse-shutdown-$(cut -d ' ' -f 4 /proc/self/stat)-$(date +%s)
mkdir "$cgroup"
trap 'find "$cgroup" -depth -type d -exec rmdir {} +' EXIT

cat >/mnt/boot <<BOOT
set -eu
echo \$\$ >$cgroup/cgroup.procs
mount --bind $ROOT $ROOT
cd $ROOT
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/fuse /dev/loop-control dev
# Also those that other programs of this machine have not used yet.
for number in \$(seq 0 63); do mknod dev/loop\$number b 7 \$number; done
mount -t tmpfs tmpfs run
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
# systemd hands out credentials by a mount that its services see.
mount --make-rshared $ROOT
exec unshare --cgroup sh -c 'mount -t cgroup2 cgroup2 sys/fs/cgroup; exec chroot $ROOT env -i container=test \
  PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --show-status=false --log-target=journal'
BOOT
unshare --mount --pid --fork --kill-child --propagation private --uts --ipc sh /mnt/boot &
machine=$!
status=0
seconds=0
while kill -0 $machine 2>/dev/null; do
  sleep 1
  seconds=$((seconds + 1))
  [ $seconds -lt 300 ] && continue
  echo "not ok - it is down after $seconds s"
  status=1
  # The servers before the rest: a file system that dies together with the server that it stands on hangs for ever.
  for pid in $(find "$cgroup" -name cgroup.procs -exec cat {} +); do
    case $(cat "/proc/$pid/comm") in node) kill -9 "$pid" ;; esac
  done
  sleep 2
  kill -9 $machine
done
# The kernel tells of a power-off in a PID namespace by a SIGINT.
wait $machine || true
check() {
  local what=$1
  shift
  if "$@"; then echo "ok - $what"; else echo "not ok - $what"; status=1; fi
}
was_clean() { dumpe2fs -h "$1" 2>/dev/null | grep -q '^Filesystem state: *clean' && ! dumpe2fs -h "$1" 2>/dev/null | grep -q needs_recovery; }
journal=/mnt/journal
chroot "$ROOT" journalctl --no-pager -o cat -D /var/log/journal >$journal
for unit in data-fstab mnt-fstab data-unit data-hand srv; do
  check "$unit.mount was unmounted by systemd" grep -q "^Unmounted $unit.mount" $journal
done
check "the payloads' file system is clean" was_clean "$HOME_OF_PAYLOADS"
mkdir /mnt/srv
mount -o loop,ro "$HOME_OF_PAYLOADS" /mnt/srv
for name in fstab unit hand; do
  payload=/mnt/srv/$name.img
  [ -e $payload ] || payload=$ROOT/$name.img
  bin/luksfuse cat --key-file "$ROOT/etc/luksfuse/$name.key" --header "$ROOT/etc/luksfuse/$name.header" \
    $payload >/mnt/plain
  check "$name: the file system on it is clean" was_clean /mnt/plain
  for file in synced:100000 unsynced:200000; do
    debugfs -R "dump /${file%:*} /mnt/file" /mnt/plain 2>/dev/null
    seq 1 "${file#*:}" >/mnt/expected
    check "$name: ${file%:*} is all there" cmp /mnt/file /mnt/expected
    rm -f /mnt/file
  done
done
umount /mnt/srv
[ $status = 0 ] || grep -v 'skipped' $journal >&2
exit $status
