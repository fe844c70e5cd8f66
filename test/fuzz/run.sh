#!/bin/sh
# Fuzzes everything for long: FUZZ_SECONDS for each piece of code, five minutes without. Says what it did, and fails
# with what broke.
set -eu
cd "$(dirname "$0")/../.."
export FUZZ_SECONDS="${FUZZ_SECONDS:-300}" TAP_TIMEOUT=0
for test in hostile-header reencryption giveback requests texts; do
  report=$(node "dist/test/fuzz/$test.test.js") || { echo "$report"; exit 1; }
  echo "$report" | grep -E ' cases, |^# Subtest'
done
