#!/usr/bin/env bash
# Holds the dependencies to deny.toml: known advisories, licences, duplicate crates, sources.
#
# The advisory database (RustSec's) is fetched; where that cannot be done, ADVISORY_DB names a folder with a clone of it. Without either, all
# but the advisories is checked, and the last line states it.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v cargo-deny >/dev/null || cargo install --locked cargo-deny

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The folder name that cargo-deny gives this address.
url=https://github.com/RustSec/advisory-db
name=advisory-db-3157b0e258782691
sed "s#^\[advisories\]#[advisories]\ndb-path = \"$work/dbs\"\ndb-urls = [\"$url\"]#" deny.toml >"$work/deny.toml"
mkdir "$work/dbs"
offline=
state="no database could be fetched, and ADVISORY_DB names none"
if [ -n "${ADVISORY_DB:-}" ]; then
  git clone -q "$ADVISORY_DB" "$work/dbs/$name"
  touch "$work/dbs/$name/.git/FETCH_HEAD"
  offline=--offline
elif ! timeout 300 cargo deny --config "$work/deny.toml" fetch db >"$work/fetch.log" 2>&1; then
  rm -rf "${work:?}/dbs"/*
fi
checks=(licenses bans sources)
if [ -d "$work/dbs/$name" ]; then
  checks+=(advisories)
  state="$(git -C "$work/dbs/$name" show -s --format='database of %cs' HEAD)"
fi
cargo fetch --locked
code=0
cargo deny $offline --config "$work/deny.toml" check --hide-inclusion-graph "${checks[@]}" >"$work/log" 2>&1 || code=$?
# Several versions of a crate are no fault of ours as a rule: a line each.
grep -o "found [0-9]* duplicate entries for crate '[^']*'" "$work/log" | sed "s/found \(.*\) duplicate entries for crate '\(.*\)'/\1 versions of \2/" || true
[ "$code" = 0 ] || grep -v '^ *│\|duplicate' "$work/log" | sed -n '/^error/,$p' | head -80
tail -1 "$work/log"
echo "advisories: $state"
exit $code
