# Sourced by scripts that need a nightly compiler: installs one where there is none, and sets `host` to its target. $1 names the caller.
if ! cargo +nightly --version >/dev/null 2>&1; then
  command -v rustup >/dev/null || { echo "$1: a nightly compiler is needed, and there is no rustup to install it"; exit 2; }
  rustup toolchain install nightly --profile minimal
fi
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
