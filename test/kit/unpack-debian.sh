#!/bin/sh
# Unpacks Debian packages of any suite and architecture into a directory, without installing them: nothing of them runs, and
# this machine's apt knows nothing of it. Needs apt and dpkg-deb; root where files are to belong to root.
#
#   unpack-debian.sh SUITE ARCH DIR --with-dependencies PACKAGE...
#   unpack-debian.sh SUITE ARCH DIR PACKAGE...
#
# For a PACKAGE =linux-image-FLAVOUR, what makes up the newest kernel of that flavour is unpacked.
set -eu
suite=$1 arch=$2 dir=$3
shift 3
dependencies=
[ "$1" != --with-dependencies ] || { dependencies=1; shift; }

work=$(mktemp -d "${TMPDIR:-/tmp}/luksfuse-unpack-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$dir"
: > "$work/status"

# Of a suite that is developed, mirrors keep the list for longer than it says that it is valid.
mirror=${DEBIAN_MIRROR:-http://deb.debian.org}
options="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no]"
echo "deb $options $mirror/debian $suite main" > "$work/sources.list"
[ "$suite" = sid ] || echo "deb $options $mirror/debian-security $suite-security main" >> "$work/sources.list"

with_lists() {
  program=$1
  shift
  "$program" -qq -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Sandbox::User=root "$@"
}

with_lists apt-get update
packages=
for package; do
  case $package in
    # One package, or since Debian 14 one for the image and one for the modules.
    =*)
      parts="^linux-(image|base|binary|modules)-[0-9].*-${package#=linux-image-}$"
      package=$(with_lists apt-cache depends --recurse --important "${package#=}" | grep -E "$parts")
      ;;
  esac
  packages="$packages $package"
done

cd "$work/cache/archives"
# shellcheck disable=SC2086 # a list of words
if [ "$dependencies" ]; then
  with_lists apt-get install -y --download-only --no-install-recommends $packages >/dev/null
else
  with_lists apt-get download $packages
fi
# What brings the links that join /bin and /usr/bin comes first.
for deb in base-files_*.deb *.deb; do
  [ ! -e "$deb" ] || dpkg-deb -x "$deb" "$dir"
done
