#!/usr/bin/env bash
# The report's page in headless Chromium: makes tiny runs on built-in images, a page of a run, of two runs with masks and of a sweep, and
# uses them by mouse and keyboard (report_check.py). With a folder as argument, screenshots go there.
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${BIN:-${CARGO_TARGET_DIR:-target}/release/repghost-det}
[ -x "$BIN" ] || { echo "report_check: build repghost-det first ($BIN is not there)"; exit 1; }

if ! command -v chromium chromium-browser google-chrome chrome >/dev/null; then
  command -v apt-get >/dev/null || { echo "report_check: needs Chromium, and there is no apt-get to install it with"; exit 1; }
  apt-get update -qq && apt-get install -y -qq chromium >/dev/null
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
tiny="data.shapes.train_images=16 data.shapes.val_images=8 data.workers=0 train.epochs=2 train.eval_every=1 train.log_every=1"
# Networks that have learned next to nothing are sure of nothing: every score counts, so that there is something to draw.
small="data.augment.resize.size=96 data.shapes.picture.size=[96,96] eval.score_threshold=0.001"
echo "report_check: tiny runs"
"$BIN" --quiet train experiments/demo.yaml --run-dir "$out/run" $tiny $small
"$BIN" --quiet train experiments/demo_mask.yaml --run-dir "$out/masks-a" $tiny $small
"$BIN" --quiet train experiments/demo_mask.yaml --run-dir "$out/masks-b" $tiny $small train.seed=1 train.optimizer.lr=1e-3
overrides=$(for o in $tiny $small; do printf 'set.%s ' "$o"; done)
"$BIN" --quiet sweep experiments/ablations/reparam.yaml --run-dir "$out/sweep" --no-latency setting=demo settings.demo.seeds=[0,1] \
  'only=[{branches: [BN, none]}]' $overrides >/dev/null

echo "report_check: pages"
page() { "$BIN" --quiet report "${@:2}" --output "$out/$1.html"; }
page run "$out/run"
page masks "$out/masks-a" "$out/masks-b"
page sweep "$out/sweep"
all=overview,curves,predictions,worst,classes,configuration,environment
python3 .ci/report_check.py ${1:+--screenshots "$1"} "$out/run.html=$all" "$out/masks.html=$all" "$out/sweep.html=sweep,$all"
