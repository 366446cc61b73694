#!/usr/bin/env bash
# Times `predict` end to end, without the time that the program and the network take to load. Usage: predict.sh RUN_FOLDER FOLDER_OF_JPEGS
#
# Loading is what a run on the first image alone takes.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-${CARGO_TARGET_DIR:-$root/target}/release/repghost-det}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
images=("$2"/*.jpg)
now() { date +%s.%N; }
predict() { "$bin" --quiet predict "$1" --weights "$1/weights/best.safetensors" --runtime "${RUNTIME:-onnxruntime}" --output "$out" "${@:2}" >/dev/null; }
start=$(now); predict "$1" "${images[0]}"; one=$(now)
predict "$1" "$2"; all=$(now)
awk -v a="$start" -v b="$one" -v c="$all" -v n="${#images[@]}" 'BEGIN { printf "%.4f s an image, %d images\n", ((c - b) - (b - a)) / (n - 1), n }'
