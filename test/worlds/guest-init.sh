#!/bin/sh
# init of a guest whose root is Debian's (guest-root.sh): mounts what a system has, runs the
# script of the program disk, says how it ended, and reboots, which ends QEMU.
PATH=/program/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
for dir in /dev/shm /run /tmp; do mount -t tmpfs -o mode=1777 tmp "$dir"; done
# As udev does.
chmod 666 /dev/fuse

{
  cd /tmp || exit
  sh /program/script
  echo "guest-exit-status: $?"
} < /dev/null 2>&1 | cat > "/dev/$(cat /program/port)" # which programs would take for a terminal
sync
echo b > /proc/sysrq-trigger
sleep 60
