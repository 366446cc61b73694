#!/usr/bin/env bash
# Puts a full pip torch with its CUDA libraries under .deps/torch-cuda and makes it .deps/libtorch (`make setup CUDA=1`).
#
# It is the same build as the slim libtorch that `libtorch.sh` fetches, with libtorch_cuda.so, cuBLAS, cuDNN, NVRTC and NCCL beside it, so
# that programs built against either run on both, and one that is built already needs no new build.
#
# Does nothing when the folder is complete. To go back: remove .deps/libtorch and run `make setup`.
set -euo pipefail

TORCH_VERSION=2.11.0
NEEDED_MB=12000 # wheels and their unpacked form side by side
root=$(cd "$(dirname "$0")/../.." && pwd)
deps="$root/.deps"
target="$deps/torch-cuda"

die() { echo "error: $*" >&2; exit 2; }

if [ -n "${LIBTORCH_USE_PYTORCH:-}" ] && [ "${LIBTORCH_USE_PYTORCH}" != 0 ]; then
  die "LIBTORCH_USE_PYTORCH is set, so that torch is used: unset it to fetch one here"
fi
# The build's own setting points at .deps/libtorch, which is what is about to change.
if [ -n "${LIBTORCH:-}" ] && [ "$LIBTORCH" != "$deps/libtorch" ]; then
  die "LIBTORCH=$LIBTORCH is set, so that libtorch is used: unset it to fetch one here"
fi
use() {
  rm -rf "$deps/libtorch"
  ln -s torch-cuda/torch "$deps/libtorch"
  echo "libtorch $TORCH_VERSION with CUDA is in .deps/torch-cuda; .deps/libtorch points at it" >&2
}
if [ "$(cat "$target/torch/build-version" 2>/dev/null)" = "$TORCH_VERSION" ]; then
  [ "$(readlink "$deps/libtorch" 2>/dev/null)" = torch-cuda/torch ] || use
  exit 0
fi

[ "$(uname -s)" = Linux ] || die "torch $TORCH_VERSION has CUDA on Linux only"
python=$(command -v python3 || command -v python) || die "python3 is missing: install Python 3 with pip (Debian: apt-get install python3-pip)"
"$python" -m pip --version >/dev/null 2>&1 || die "pip is missing: install it (Debian: apt-get install python3-pip)"
mkdir -p "$deps"
free_mb=$(df -Pm "$deps" | awk 'NR==2 {print $4}')
[ "$free_mb" -ge "$NEEDED_MB" ] || die "$NEEDED_MB MB of free disk are needed in $deps, $free_mb are left: make room"

work=$(mktemp -d "$deps/torch-cuda.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "fetching torch $TORCH_VERSION with its CUDA libraries (once): 5.5 GB on disk…" >&2
# The Python tag does not matter, since nothing of it is imported: ask for one that exists.
"$python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --python-version 3.11 --no-compile \
  --target "$work/site" "torch==$TORCH_VERSION" \
  || die "pip could not fetch torch $TORCH_VERSION: check the network, or set LIBTORCH to the folder of a pip torch $TORCH_VERSION"
[ -f "$work/site/torch/lib/libtorch_cuda.so" ] || die "this machine's torch $TORCH_VERSION has no CUDA: set LIBTORCH to one that has"
echo "$TORCH_VERSION" >"$work/site/torch/build-version"
sync
rm -rf "$target"
mv "$work/site" "$target"
use
