#!/usr/bin/env bash
# Builds every fuzz target and runs each for a few seconds (SECONDS_EACH, default 8). Needs a nightly toolchain and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/../.."
rustup toolchain list | grep -q nightly || rustup toolchain install nightly --profile minimal
command -v cargo-fuzz >/dev/null || cargo install -q cargo-fuzz --locked
for target in review plan template template_parse template_values grant wire reference; do
  echo "fuzz: $target"
  cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none -O "$target" -- -max_total_time="${SECONDS_EACH:-8}" -max_len=4096 -timeout=5 -print_final_stats=0 2>&1 | tail -2
done
