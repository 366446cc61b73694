#!/usr/bin/env bash
# Puts a slim CPU libtorch under .deps/libtorch (git-ignored), from the wheels that pip serves.
#
# tch 0.24 pairs with libtorch 2.11.0. The x86-64 wheel is a CUDA build whose CPU half runs alone once two small CUDA
# libraries lie beside it, so that 0.5 GB are fetched instead of 5.5 GB (`libtorch_cuda.sh` fetches those). The aarch64 Linux and macOS
# wheels are CPU builds.
#
# Does nothing when LIBTORCH or LIBTORCH_USE_PYTORCH is set (that libtorch is used) or when the folder is complete.
set -euo pipefail

TORCH_VERSION=2.11.0
NEEDED_MB=2600 # wheels and their unpacked form side by side
root=$(cd "$(dirname "$0")/../.." && pwd)
deps="$root/.deps"
target="$deps/libtorch"

die() { echo "error: $*" >&2; exit 2; }

if [ -n "${LIBTORCH:-}" ]; then
  [ -d "$LIBTORCH/lib" ] || die "LIBTORCH=$LIBTORCH has no lib folder: point it at a libtorch $TORCH_VERSION, or unset it"
  found=$(cat "$LIBTORCH/build-version" 2>/dev/null || sed -n "s/^__version__ = '\\([^'+]*\\).*/\\1/p" "$LIBTORCH/version.py" 2>/dev/null || true)
  [ -z "$found" ] || [ "${found%%+*}" = "$TORCH_VERSION" ] || die "LIBTORCH=$LIBTORCH is libtorch $found: $TORCH_VERSION is needed"
  exit 0
fi
if [ -n "${LIBTORCH_USE_PYTORCH:-}" ]; then exit 0; fi
[ "$(cat "$target/build-version" 2>/dev/null)" = "$TORCH_VERSION" ] && exit 0

python=$(command -v python3 || command -v python) || die "python3 is missing: install Python 3 with pip (Debian: apt-get install python3-pip)"
"$python" -m pip --version >/dev/null 2>&1 || die "pip is missing: install it (Debian: apt-get install python3-pip)"
mkdir -p "$deps"
free_mb=$(df -Pm "$deps" | awk 'NR==2 {print $4}')
[ "$free_mb" -ge "$NEEDED_MB" ] || die "$NEEDED_MB MB of free disk are needed in $deps, $free_mb are left: make room"

work=$(mktemp -d "$deps/libtorch.XXXXXX")
trap 'rm -rf "$work"' EXIT
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) extra=("nvidia-cuda-runtime==13.0.*" "nvidia-cuda-cupti==13.0.*") ;;
  Linux-aarch64 | Darwin-arm64) extra=() ;;
  *) die "no torch $TORCH_VERSION wheel is known for $(uname -s) $(uname -m): set LIBTORCH to a libtorch $TORCH_VERSION" ;;
esac
echo "fetching libtorch $TORCH_VERSION (once, about 0.5 GB)…" >&2
# The wheel's Python tag does not matter, since nothing of it is imported: ask for one that exists.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
  --dest "$work/wheels" "torch==$TORCH_VERSION" ${extra[@]+"${extra[@]}"} \
  || die "pip could not fetch torch $TORCH_VERSION: check the network, or set LIBTORCH to a libtorch $TORCH_VERSION"

"$python" - "$work/wheels" "$work/libtorch" <<'PY'
import pathlib, re, shutil, sys, zipfile

wheels, out = map(pathlib.Path, sys.argv[1:])
WANTED = re.compile(
    r"torch/(?P<torch_lib>lib/(libtorch_cpu|libc10)\.(so|dylib)"
    r"|lib/libgomp[^/]*|lib/libomp[^/]*|lib/lib(arm_compute|openblas|gfortran|quadmath)[^/]*)"
    r"|torch(?P<libs>\.libs/[^/]+)"
    r"|torch/(?P<include>include/.+)"
    r"|nvidia/[^/]+/(?P<cuda>lib/lib(cudart|cupti)\.so\.13)"
)
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            m = WANTED.fullmatch(name)
            if not m or name.endswith("/"):
                continue
            to = out / (m["torch_lib"] or m["include"] or m["cuda"] or "lib/" + m["libs"].split("/", 1)[1])
            to.parent.mkdir(parents=True, exist_ok=True)
            with z.open(name) as src, open(to, "wb") as dst:
                shutil.copyfileobj(src, dst, 1 << 20)
PY
case "$(uname -s)" in
  Darwin) ln -s libtorch_cpu.dylib "$work/libtorch/lib/libtorch.dylib" ;;
  *) ln -s libtorch_cpu.so "$work/libtorch/lib/libtorch.so" ;;
esac
echo "$TORCH_VERSION" >"$work/libtorch/build-version"
sync
rm -rf "$target"
mv "$work/libtorch" "$target"
echo "libtorch $TORCH_VERSION is in ${target#"$root"/}" >&2
