#!/usr/bin/env bash
# Installs TensorRT for RTX under .deps/tensorrt (git-ignored, once) and builds every kind of exported file with it. No GPU is needed.
# With `--fetch-only` it ends after the installation.
set -euo pipefail

RTX_VERSION=1.7.1.116
ONNX_VERSION=1.23.2
root=$(cd "$(dirname "$0")/../.." && pwd)
venv="$root/.deps/tensorrt"

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  echo "skipped: TensorRT for RTX has wheels for x86-64 Linux only"
  exit 0
fi
if ! "$venv/bin/python" -c "import onnx, tensorrt_rtx" 2>/dev/null; then
  echo "fetching TensorRT for RTX $RTX_VERSION (once, about 100 MB)…" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "tensorrt-rtx==$RTX_VERSION" "onnx==$ONNX_VERSION"
fi
[ "${1:-}" = --fetch-only ] && exit 0
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
# With the features of the whole workspace, as the tests have it, so that nothing is compiled anew.
(cd "$root" && cargo build --release --workspace --example export_kinds)
"${CARGO_TARGET_DIR:-$root/target}/release/examples/export_kinds" "$files"
"$venv/bin/python" "$root/tools/setup/build_engines.py" "$files"/*.onnx
