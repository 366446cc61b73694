#!/usr/bin/env bash
# Coverage-guided fuzzing (libFuzzer): fuzz.sh MINUTES [TARGET…]; without a target all of them. For `make fuzz`.
#
# Needs a nightly compiler and cargo-fuzz, which it installs. Inputs that were found useful stay in fuzz/corpus/TARGET, findings go to
# fuzz/artifacts/TARGET: the command that repeats one is printed, and it belongs into a test before it is mended. The last lines have each target's
# executions, coverage (edges) and corpus. FUZZ_JOBS targets run at once (1). `fuzz.sh --install` installs the tools, and no more.
# Exit code 1 where anything was found.
set -euo pipefail
cd "$(dirname "$0")/../../fuzz"
minutes=$1
shift

source ../tools/setup/nightly.sh fuzz
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
[ "$minutes" != --install ] || exit 0

# Safe Rust has no use for AddressSanitizer, and libtorch's libraries come without it.
flags=(-O --sanitizer none)
features=()
targets=("$@")
mapfile -t all < <(sed -n '/^\[\[bin\]\]/,$s/^name = "\(.*\)"/\1/p' Cargo.toml)
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
for target in "${targets[@]}"; do
  [ -f "targets/$target.rs" ] || { echo "fuzz: no target $target; there are: ${all[*]}"; exit 2; }
  if grep -A5 "^name = \"$target\"" Cargo.toml | grep -q required-features; then features=(--features torch); fi
done
if [ ${#targets[@]} = 1 ]; then cargo +nightly fuzz build "${flags[@]}" "${features[@]}" "${targets[0]}"
else cargo +nightly fuzz build "${flags[@]}" "${features[@]}"; fi

seconds=$(awk "BEGIN { print int($minutes * 60) }")
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# One target: its line goes to $results/TARGET.line; $results/TARGET.found is there after a finding.
fuzz_one() {
  local target=$1 code=0 log="$results/$1.log"
  mkdir -p "corpus/$target" "artifacts/$target"
  cp -n seeds/"$target"/* "corpus/$target/" 2>/dev/null || true
  echo "fuzz: $target for $seconds seconds"
  # `-detect_leaks=0`: a process that ends leaves its memory. 2 GiB is far above what any file of this size may take.
  "target/$host/release/$target" -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=2048 -timeout=20 \
    -detect_leaks=0 -print_final_stats=1 -artifact_prefix="artifacts/$target/" "corpus/$target" >"$log" 2>&1 || code=$?
  local executions coverage line
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
  line="$target: ${executions:-0} executions, coverage ${coverage:-0}, corpus $(find "corpus/$target" -type f | wc -l)"
  if [ $code != 0 ]; then
    touch "$results/$target.found"
    grep -E "panicked|^==|ERROR|Test unit written|internal error" -A1 "$log" | head -20 || true
    line+=", a FINDING (exit code $code) in fuzz/artifacts/$target"
  fi
  echo "$line" >"$results/$target.line"
}

for target in "${targets[@]}"; do
  # As many at once as FUZZ_JOBS has.
  while [ "$(jobs -rp | wc -l)" -ge "${FUZZ_JOBS:-1}" ]; do wait -n || true; done
  fuzz_one "$target" &
done
wait
rm -rf /dev/shm/repghost-fuzz-*
found=0
for target in "${targets[@]}"; do
  cat "$results/$target.line" 2>/dev/null || { echo "$target: did not end"; found=1; }
  [ ! -e "$results/$target.found" ] || found=1
done
exit $found
