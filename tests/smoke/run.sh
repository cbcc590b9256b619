#!/usr/bin/env bash
# Suites on one real Kubernetes node: builds what they need, runs one, takes everything down whatever happens.
# usage: run.sh [--faults | --bench FILE] [WORD…]
#   without a flag   the smoke suite: the main job on a good day, and our own failures (about 4 minutes on 2 cores)
#   --faults         kubelet, node, network and OpenBao fail; foreign identities; a storm of pods (about 12 minutes)
#   --bench FILE     what injection costs a pod; writes FILE, a path in this repository (about 5 minutes)
#   WORD…            only scenarios whose sentence holds one of the words; none runs all; "!WORD" leaves out those that hold it
# Exit codes: 0 all passed, 1 something failed, 69 this machine cannot run a node (the harness says why).
# VOUCHSAFE_SEED repeats a run of --faults; VOUCHSAFE_SMOKE_LOGS=FOLDER keeps the logs.
set -euo pipefail
cd "$(dirname "$0")/../.."
export VOUCHSAFE_CLUSTER=${VOUCHSAFE_CLUSTER:-smoke} VOUCHSAFE_BAO=${VOUCHSAFE_BAO:-smoke}
export VOUCHSAFE_MAX_PODS=${VOUCHSAFE_MAX_PODS:-250} # a storm of up to 200, and those that run already
target=${CARGO_TARGET_DIR:-target}
musl=x86_64-unknown-linux-musl

clean() {
  tests/real/openbao.sh stop || true
  tests/real/cluster.sh down || true
}

cargo build --release -p vouchsafe-webhook -p vouchsafe-broker -p vouchsafe
CC_x86_64_unknown_linux_musl=${CC_x86_64_unknown_linux_musl:-musl-gcc} \
  cargo build --profile image --target "$musl" -p vouchsafe-sidecar
cargo build --release -p vouchsafe-tests --bin smoke
trap clean EXIT
trap 'exit 130' INT TERM HUP
clean # what an earlier run that was killed has left
"$target/release/smoke" "$@"
