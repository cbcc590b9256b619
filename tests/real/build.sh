#!/usr/bin/env bash
# Builds the pinned servers of the real-server suites from their Go modules, once per machine.
# usage: build.sh [TOOL…]       default: etcd kubernetes containerd openbao; further: coredns helm vault
#        build.sh --path TOOL   the folder of its binaries, built or not
#        build.sh --check       what this machine lacks to build and run them, in one sentence; exit 69 when it lacks something
#        build.sh --prune       removes builds of other pins and what interrupted builds left
# A tool is a folder here: go.mod and go.sum pin it, `recipe` says what to build. The result lies in the cache below
# $VOUCHSAFE_REAL, by a hash of that folder; two runs at once share the work, an interrupted one leaves nothing half done.
. "$(dirname "$0")/lib.sh"

DEFAULT_TOOLS=(etcd kubernetes containerd openbao)
PROGRESS_SECONDS=30
GO_MINIMUM=1.26 # what the pinned go.mod files ask for; an older go with GOTOOLCHAIN=auto fetches it by itself
FREE_GIB=12     # Go's module and build caches after all default tools; the binaries are 0.7 GiB of it

main() {
  case ${1:-} in
    --path) tool_folder "${2:?tool}" ;;
    --check) need_machine; need_go; say "nothing is missing" ;;
    --prune) prune ;;
    -*) usage "$0" ;;
    *) [ $# -gt 0 ] || set -- "${DEFAULT_TOOLS[@]}"
      local tool
      for tool in "$@"; do build "$tool"; done ;;
  esac
}

build() {
  local tool=$1 out
  out=$(tool_folder "$tool")
  [ ! -e "$out/.complete" ] || { say "$tool: cached in $out"; return; }
  need_go
  mkdir -p "$VOUCHSAFE_REAL"
  locked "$out.lock" build_locked "$tool" "$out"
}

build_locked() {
  local tool=$1 out=$2 began=$SECONDS log
  [ ! -e "$out/.complete" ] || { say "$tool: built by another run"; return; }
  say "$tool: building, once for these pins (Go modules are fetched where they are not cached)"
  scratch=$(mktemp -d "$VOUCHSAFE_REAL/.$tool.XXXXXX") # global: the trap needs it
  trap 'discard' EXIT
  trap 'exit 130' INT TERM HUP
  cp -r "$HERE/$tool" "$scratch/module"
  mkdir "$scratch/out"
  log=$scratch/log
  (cd "$scratch/module" && compile "$scratch/out") >"$log" 2>&1 &
  compiler=$!
  watch_progress "$tool" "$log" "$compiler" "$began" || {
    show_log "$tool" "$log"
    fail "$tool: the build failed after $((SECONDS - began)) s"
  }
  rm -rf "$out"
  touch "$scratch/out/.complete"
  mv "$scratch/out" "$out"
  discard
  trap - EXIT INT TERM HUP
  say "$tool: done in $((SECONDS - began)) s, $(du -sh "$out" | cut -f1) in $out"
}

# In the tool's module folder, by its recipe. go.sum is pinned whole, so nothing here asks a checksum database.
compile() {
  local out=$1 packages='' tags='' ldflags='' prepare='' rename='' pair
  # shellcheck source=/dev/null
  . ./recipe
  [ -z "$prepare" ] || $prepare
  # shellcheck disable=SC2086 # packages are words
  CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off go build -v -trimpath -tags "$tags" -ldflags "-s -w $ldflags" -o "$out/" $packages
  for pair in $rename; do mv "$out/${pair%%=*}" "$out/${pair#*=}"; done
}

# go build -v names each package that it compiles, and each module that it fetches.
watch_progress() {
  local tool=$1 log=$2 process=$3 began=$4 next=$((SECONDS + PROGRESS_SECONDS))
  while kill -0 "$process" 2>/dev/null; do
    sleep 0.5
    [ "$SECONDS" -ge "$next" ] || continue
    next=$((SECONDS + PROGRESS_SECONDS))
    say "$tool: $((SECONDS - began)) s, $(grep -c '^go: downloading' "$log") modules fetched, $(grep -vc '^go: ' "$log") packages compiled"
  done
  wait "$process"
}

discard() {
  [ -z "${compiler:-}" ] || { pkill -P "$compiler" 2>/dev/null; kill "$compiler" 2>/dev/null; } || true
  chmod -R u+w "$scratch" 2>/dev/null || true # what is copied from Go's module cache is read-only
  rm -rf "$scratch"
}

need_go() {
  local free
  command -v go >/dev/null || unavailable "Go $GO_MINIMUM or later is needed to build the real servers:" \
    "install it from https://go.dev/dl, or copy a built $VOUCHSAFE_REAL from another machine"
  mkdir -p "$VOUCHSAFE_REAL"
  free=$(($(df -Pk "$VOUCHSAFE_REAL" | awk 'NR == 2 { print $4 }') / 1024 / 1024))
  [ "$free" -ge "$FREE_GIB" ] || unavailable "building the real servers takes up to $FREE_GIB GiB, $VOUCHSAFE_REAL has $free GiB free:" \
    "make room, or set VOUCHSAFE_REAL, GOMODCACHE and GOCACHE to a larger disk"
}

# Other pins' folders, and scratch folders whose builder is gone: a live one holds its tool's lock.
prune() {
  local tool keep folder
  for tool in $(known_tools); do
    keep=$(tool_folder "$tool")
    for folder in "$VOUCHSAFE_REAL/$tool"-*; do
      [[ -d $folder && $folder != "$keep" ]] || continue
      say "removing $folder"; rm -rf "$folder" "$folder.lock"
    done
    if [ ! -e "$keep.lock" ] || flock -n "$keep.lock" true; then
      for folder in "$VOUCHSAFE_REAL/.$tool".*; do
        [ ! -d "$folder" ] || { say "removing $folder"; chmod -R u+w "$folder"; rm -rf "$folder"; }
      done
    fi
  done
}

main "$@"
