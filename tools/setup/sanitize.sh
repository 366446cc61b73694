#!/usr/bin/env bash
# Runs tests under a sanitizer: sanitize.sh [address|thread]…; without one both. For `make sanitize`.
#
# address: the crates with `unsafe` code and C++ (kernels, heads, data, distributed), with the C++ of this project compiled for it as well.
# thread: the crates whose threads share something and that stand without libtorch (data, downloads, files), with Rust's own library rebuilt.
# libtorch's libraries come without either, so what they do inside is not seen; what our code hands them and takes from them is.
# Needs a nightly compiler, which it installs. The build has a folder of its own (target/sanitize) and takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."

source tools/setup/nightly.sh sanitize
upper=$(tr 'a-z-' 'A-Z_' <<<"$host")
export CARGO_INCREMENTAL=0
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(address thread)

address() {
  # Memory that libtorch keeps to the end is not ours; its containers are filled without the sanitizer's knowledge.
  export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0:detect_odr_violation=0:alloc_dealloc_mismatch=0
  export "CARGO_TARGET_${upper}_RUSTFLAGS=-Zsanitizer=address -Cforce-frame-pointers=yes"
  export "CXXFLAGS_${host//-/_}=-fsanitize=address -fno-omit-frame-pointer -g1"
  cargo +nightly test --release --target "$host" --target-dir target/sanitize/address \
    --package repghost-kernels --package repghost-heads --package repghost-coco --package repghost-distributed --lib --tests
}

thread() {
  rustup +nightly component list --installed | grep -q '^rust-src' || rustup +nightly component add rust-src
  export "CARGO_TARGET_${upper}_RUSTFLAGS=-Zsanitizer=thread --cfg crossbeam_sanitize_thread"
  cargo +nightly test --release --target "$host" --target-dir target/sanitize/thread -Zbuild-std \
    --package repghost-coco --package repghost-hub --package repghost-files --lib --tests
}

for kind in "${kinds[@]}"; do
  case $kind in
  address | thread) echo "sanitize: $kind"; ("$kind") ;;
  *) echo "sanitize: no sanitizer $kind; there are: address thread"; exit 2 ;;
  esac
done
