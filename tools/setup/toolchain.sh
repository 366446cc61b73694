#!/usr/bin/env bash
# Prints in one line what is missing before anything is fetched or built.
set -euo pipefail
die() { echo "error: $*" >&2; exit 2; }
command -v cargo >/dev/null || die "cargo is missing: install Rust 1.92 or newer with rustup"
compiler=${CXX:-c++}
command -v "$compiler" >/dev/null || die "no C++ compiler ('$compiler'): install one (Debian: apt-get install g++; macOS: xcode-select --install)"
