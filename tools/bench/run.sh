#!/usr/bin/env bash
# Times this project and its peers in one sitting: see README.md beside this file.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
ROUNDS=${ROUNDS:-3}

python=${PEERS_PYTHON:-$root/.deps/peers/bin/python}
if ! "$python" -c "import torch, torchvision, timm, pycocotools" 2>/dev/null; then
  [ -z "${PEERS_PYTHON:-}" ] || { echo "error: $PEERS_PYTHON lacks torch, torchvision, timm or pycocotools" >&2; exit 2; }
  echo "fetching the peers (once, 5.5 GB)…" >&2
  python3 -m venv "$root/.deps/peers"
  "$root/.deps/peers/bin/pip" install --quiet --disable-pip-version-check torch==2.11.0 torchvision==0.26.0 timm pycocotools
fi
echo "machine: $(nproc) cores of $(grep -m1 "model name" /proc/cpuinfo 2>/dev/null | cut -d: -f2 | xargs || uname -m), $(uname -m)"
cargo bench --package repghost-coco --package repghost-heads --benches --no-run
rust_bench() { cargo bench --quiet --package "$1" --bench "$2" -- "${@:3}"; }

both() { # name, our command, --, their command
  local name=$1 ours=() theirs=()
  shift
  while [ "$1" != -- ]; do ours+=("$1"); shift; done
  shift
  theirs=("$@")
  for round in $(seq "$ROUNDS"); do
    "${ours[@]}" | sed "s/^/$name, ours, round $round: /"
    "${theirs[@]}" | sed "s/^/$name, peer, round $round: /"
  done
}

if [ -n "${BENCH_IMAGES:-}" ]; then
  both loader rust_bench repghost-coco loader_bench "$BENCH_IMAGES" -- "$python" tools/bench/loader.py "$BENCH_IMAGES"
else
  echo "loader skipped: BENCH_IMAGES names no folder"
fi
both retinanet rust_bench repghost-heads step_bench retinanet 0.5 320 4 5 -- "$python" tools/fixtures/step_bench.py retinanet 050 320 4 5
both narrow rust_bench repghost-heads step_bench narrow 0.5 320 8 5 -- "$python" tools/fixtures/step_bench.py narrow 050 320 8 5
both mask_rcnn rust_bench repghost-heads step_bench mask_rcnn 0.5 320 4 3 -- "$python" tools/fixtures/step_bench.py mask_rcnn 050 320 4 3
both classify rust_bench repghost-heads step_bench classify 1.0 224 32 3 -- "$python" tools/fixtures/step_bench.py classify 100 224 32 3
both operators rust_bench repghost-heads op_bench 5 -- "$python" tools/fixtures/op_bench.py
cargo build --release --quiet --package repghost-det
"$python" tools/bench/ranks.py "${CARGO_TARGET_DIR:-$root/target}/release/repghost-det" | sed "s/^/processes: /"
if [ -n "${BENCH_MODEL:-}" ] && [ -n "${BENCH_PHOTOS:-}" ]; then
  both predict bash tools/bench/predict.sh "$BENCH_MODEL" "$BENCH_PHOTOS" -- "$python" tools/bench/predict.py "$BENCH_PHOTOS" "$(mktemp -d)"
else
  echo "predict skipped: BENCH_MODEL and BENCH_PHOTOS name no run folder and no folder of JPEG files"
fi
if [ -n "${BENCH_COCO:-}" ]; then
  both metrics rust_bench repghost-coco eval_time "$BENCH_COCO/gt.json" "$BENCH_COCO/dt_bbox.json" bbox -- \
    "$python" tools/fixtures/coco_time.py "$BENCH_COCO/gt.json" "$BENCH_COCO/dt_bbox.json" bbox
else
  echo "metrics skipped: BENCH_COCO names no folder"
fi
