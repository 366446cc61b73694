#!/usr/bin/env bash
# Puts NVIDIA's run-time compiler under .deps/nvrtc (git-ignored, once), laid out like CUDA_HOME: it compiles the kernels without a card, so
# that tests can.
set -euo pipefail

NVRTC_VERSION=13.0
root=$(cd "$(dirname "$0")/../.." && pwd)
target="$root/.deps/nvrtc"

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  echo "skipped: NVRTC is fetched for x86-64 Linux only"
  exit 0
fi
[ "$(cat "$target/version" 2>/dev/null)" = "$NVRTC_VERSION" ] && exit 0
mkdir -p "$root/.deps"
work=$(mktemp -d "$root/.deps/nvrtc.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "fetching NVRTC $NVRTC_VERSION (once, about 90 MB)…" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work/wheels" \
  "nvidia-cuda-nvrtc==$NVRTC_VERSION.*"
mkdir -p "$work/nvrtc/lib64"
python3 - "$work/wheels" "$work/nvrtc/lib64" <<'PY'
import pathlib, re, shutil, sys, zipfile

wheels, out = map(pathlib.Path, sys.argv[1:])
library = re.compile(r".*/lib/(libnvrtc(-builtins)?\.so\.[\d.]+)")
for wheel in wheels.glob("*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            m = library.fullmatch(name)
            if m:
                with z.open(name) as src, open(out / m[1], "wb") as dst:
                    shutil.copyfileobj(src, dst, 1 << 20)
PY
ls "$work"/nvrtc/lib64/libnvrtc.so.13 >/dev/null
echo "$NVRTC_VERSION" >"$work/nvrtc/version"
rm -rf "$target"
mv "$work/nvrtc" "$target"
echo "NVRTC $NVRTC_VERSION is in ${target#"$root"/}" >&2
