#!/usr/bin/env bash
# Dynamic secrets on one real Kubernetes node before a real OpenBao: builds what it needs, runs, takes everything down.
# usage: run.sh [WORD…]         only scenarios whose sentence holds one of the words; none runs all (about 8 minutes on 2 cores)
# Exit codes: 0 all passed, 1 something failed, 69 this machine cannot run a node (the harness says why).
set -euo pipefail
cd "$(dirname "$0")/../.."
export VOUCHSAFE_CLUSTER=dynamic VOUCHSAFE_BAO=dynamic
target=${CARGO_TARGET_DIR:-target}
musl=x86_64-unknown-linux-musl

clean() {
  tests/real/openbao.sh stop || true
  tests/real/cluster.sh down || true
}

cargo build --release -p vouchsafe-webhook -p vouchsafe-broker -p vouchsafe
CC_x86_64_unknown_linux_musl=${CC_x86_64_unknown_linux_musl:-musl-gcc} \
  cargo build --profile image --target "$musl" -p vouchsafe-sidecar
cargo build --release -p vouchsafe-tests --bin dynamic
trap clean EXIT
trap 'exit 130' INT TERM HUP
clean # what an earlier run that was killed has left
"$target/release/dynamic" "$@"
