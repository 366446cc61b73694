#!/usr/bin/env bash
# Collects what the check needs on a machine with a card and no Rust: programs (stripped, compressed), the counting library, experiments.
# All goes to .cuda/ (git-ignored); the scripts of this folder go along with the tree. Fails above LIMIT_MIB.
set -euo pipefail

LIMIT_MIB=60
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}/release
cargo=${CARGO:-cargo}

"$cargo" build --release --quiet --package repghost-check-cuda --package repghost-det
rm -rf .cuda
mkdir .cuda
for program in check-cuda repghost-det-torch repghost-det; do
  strip --strip-all -o ".cuda/$program" "$target/$program"
  xz -T0 -3 ".cuda/$program"
done
"${CC:-cc}" -O2 -Wall -shared -fPIC -o .cuda/libcount.so tools/check_cuda/count.c -ldl
git rev-parse HEAD >.cuda/commit
size=$(du -sk .cuda | cut -f1)
echo ".cuda: $((size / 1024)) MiB of at most $LIMIT_MIB"
ls -l .cuda | awk 'NR > 1 {printf "  %9d  %s\n", $5, $9}'
[ "$size" -le $((LIMIT_MIB * 1024)) ] || { echo "error: .cuda is larger than $LIMIT_MIB MiB" >&2; exit 2; }
