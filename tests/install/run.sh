#!/usr/bin/env bash
# The install suite on one real Kubernetes node: builds images and helm, runs, takes everything down whatever happens.
# usage: run.sh [WORD…]         only scenarios whose sentence holds one of the words; none runs all (about 6 minutes on 2 cores)
# Exit codes: 0 all passed, 1 something failed, 69 this machine cannot run a node (the harness says why).
set -euo pipefail
cd "$(dirname "$0")/../.."
export VOUCHSAFE_CLUSTER=install VOUCHSAFE_BAO=install
target=${CARGO_TARGET_DIR:-target}

clean() {
  tests/real/openbao.sh stop || true
  tests/real/cluster.sh down || true
}

tests/real/build.sh etcd kubernetes containerd openbao coredns helm
tests/install/chart.sh
deploy/images/build --quick --out "$target/images-test"
cargo build --release -p vouchsafe-tests --bin install
trap clean EXIT
trap 'exit 130' INT TERM HUP
clean # what an earlier run that was killed has left
"$target/release/install" "$@"
