#!/usr/bin/env bash
# Puts the onnxruntime library under .deps/onnxruntime (git-ignored), from the wheel that pip serves. It is loaded at run time
# only (exports are checked with it, and it is the fast path on a CPU), so a failure here warns and does not stop the set-up.
#
# Does nothing when ORT_DYLIB_PATH is set or when the folder is complete.
set -euo pipefail

ORT_VERSION=1.32.0
root=$(cd "$(dirname "$0")/../.." && pwd)
target="$root/.deps/onnxruntime"

[ -n "${ORT_DYLIB_PATH:-}" ] && exit 0
[ "$(cat "$target/version" 2>/dev/null)" = "$ORT_VERSION" ] && exit 0

python=$(command -v python3 || command -v python) || { echo "warning: python3 is missing: exports can't be checked" >&2; exit 0; }
mkdir -p "$root/.deps"
work=$(mktemp -d "$root/.deps/onnxruntime.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "fetching onnxruntime $ORT_VERSION (once, about 20 MB)…" >&2
if ! "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
  --dest "$work/wheels" "onnxruntime==$ORT_VERSION"; then
  echo "warning: pip could not fetch onnxruntime $ORT_VERSION: exports can't be checked; set ORT_DYLIB_PATH to a library you have" >&2
  exit 0
fi
mkdir "$work/onnxruntime"
"$python" - "$work/wheels" "$work/onnxruntime" <<'PY'
import pathlib, re, shutil, sys, zipfile

wheels, out = map(pathlib.Path, sys.argv[1:])
library = re.compile(r"onnxruntime/capi/(libonnxruntime\.(so[.\d]*|[.\d]*dylib))")
for wheel in wheels.glob("*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            m = library.fullmatch(name)
            if m:
                suffix = "dylib" if "dylib" in m[1] else "so"
                with z.open(name) as src, open(out / f"libonnxruntime.{suffix}", "wb") as dst:
                    shutil.copyfileobj(src, dst)
PY
ls "$work"/onnxruntime/libonnxruntime.* >/dev/null
echo "$ORT_VERSION" >"$work/onnxruntime/version"
rm -rf "$target"
mv "$work/onnxruntime" "$target"
echo "onnxruntime $ORT_VERSION is in ${target#"$root"/}" >&2
