#!/usr/bin/env bash
# Builds the pinned servers of the real-server suites from their Go modules, once per machine.
# usage: build.sh [TOOL …]      (default: etcd kubernetes containerd openbao)
# Each tool lands in $VOUCHSAFE_REAL/<tool>-<hash of its pins>/; `build.sh --path TOOL` prints that folder without building.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
: "${VOUCHSAFE_REAL:=${XDG_CACHE_HOME:-$HOME/.cache}/vouchsafe/real}"

say() { printf 'real: %s\n' "$*" >&2; }
fail() { say "$1"; exit 1; }

# The folder of a tool: its name and a hash of everything that decides its bytes.
folder() {
  local tool=$1 hash
  hash=$(cd "$HERE/$tool" && find . -path ./sdk -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)
  printf '%s/%s-%s\n' "$VOUCHSAFE_REAL" "$tool" "$hash"
}

# go_build OUT TAGS LDFLAGS PACKAGE…   in the tool's own module folder
go_build() {
  local out=$1 tags=$2 flags=$3; shift 3
  CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -tags "$tags" -ldflags "-s -w $flags" -o "$out/" "$@"
}

compile() {
  local tool=$1 out=$2 version=k8s.io/component-base/version k=k8s.io/kubernetes/cmd
  case $tool in
    etcd) go_build "$out" "" "" go.etcd.io/etcd/server/v3; mv "$out/v3" "$out/etcd" 2>/dev/null || mv "$out/server" "$out/etcd" ;;
    kubernetes) go_build "$out" "" "-X $version.gitVersion=v1.36.3 -X $version.gitMajor=1 -X $version.gitMinor=36" \
        "$k/kube-apiserver" "$k/kube-controller-manager" "$k/kube-scheduler" "$k/kubelet" "$k/kubectl" "$k/kube-proxy" ;;
    containerd) local c=github.com/containerd/containerd/v2/cmd
        go_build "$out" "no_btrfs no_devmapper no_zfs" "" "$c/containerd" "$c/ctr" "$c/containerd-shim-runc-v2" ;;
    openbao) go_build "$out" "" "-X github.com/openbao/openbao/version.fullVersion=2.4.0" github.com/openbao/openbao
        mv "$out/openbao" "$out/bao" ;;
    vault) sh "./prepare.sh"; go_build "$out" "" "" github.com/hashicorp/vault ;;
    coredns) go_build "$out" "" "" github.com/coredns/coredns ;;
    helm) go_build "$out" "" "" helm.sh/helm/v3/cmd/helm ;;
    *) fail "no such tool: $tool" ;;
  esac
}

build() {
  local tool=$1 out work started
  out=$(folder "$tool")
  [ -e "$out/.complete" ] && { say "$tool: cached"; return; }
  command -v go >/dev/null || fail "Go 1.26 is needed to build $tool: install it, or put its binaries into $out and touch $out/.complete"
  started=$(date +%s); say "$tool: building (first time on this machine)"
  mkdir -p "$VOUCHSAFE_REAL"; work=$(mktemp -d "$VOUCHSAFE_REAL/.$tool.XXXXXX")
  cp -r "$HERE/$tool" "$work/module"; rm -rf "$out"; mkdir -p "$work/out"
  (cd "$work/module" && compile "$tool" "$work/out")
  touch "$work/out/.complete"; mv "$work/out" "$out"; chmod -R u+w "$work"; rm -rf "$work"
  say "$tool: done in $(( $(date +%s) - started )) s, $(du -sh "$out" | cut -f1)"
}

if [ "${1:-}" = --path ]; then folder "${2:?tool}"; exit; fi
[ $# -gt 0 ] || set -- etcd kubernetes containerd openbao
for tool in "$@"; do build "$tool"; done
