#!/usr/bin/env bash
# Gates on the sidecar as it goes into the image: size, number of crates, memory. `make gates` builds it first.
# usage: gates.sh
# Every pod of every user carries this binary, so each limit is a promise; a gate that fails says what was measured.
set -euo pipefail
cd "$(dirname "$0")/.."

MUSL=x86_64-unknown-linux-musl
SIZE_BYTES=3000000  # the whole template engine included
CRATES=50           # all that is linked, ourselves apart: what somebody must trust
RESIDENT_KIB=4096   # with ten secrets, after changes

target=${CARGO_TARGET_DIR:-target}
binary=$target/$MUSL/image/vouchsafe-sidecar
failed=0

gate() { # WHAT MEASURED LIMIT UNIT
  local verdict=ok
  if [ "$2" -gt "$3" ]; then verdict=FAIL failed=1; fi
  printf '%-5s %s: %s %s, the limit is %s\n' "$verdict" "$1" "$2" "$4" "$3"
}

[ -f "$binary" ] || { echo "gates: $binary is not there: run 'make sidecar' first" >&2; exit 1; }
if head -c 4096 "$binary" | grep -qa '/ld-'; then echo "gates: $binary is linked dynamically" >&2; exit 1; fi

gate size "$(stat -c %s "$binary")" "$SIZE_BYTES" bytes
crates=$(cargo tree --locked -q -p vouchsafe-sidecar -e normal,no-proc-macro --target "$MUSL" --prefix none |
  sed 's/ (\*)$//; s/ (\/.*//' | sort -u | grep -cv '^vouchsafe-sidecar ')
gate crates "$crates" "$CRATES" crates

if [ "$(id -u)" = 0 ]; then
  cargo build --release -q -p vouchsafe-broker -p vouchsafe-tests --bin vouchsafe-broker --bin smoke
  "$target/release/smoke" --memory "$RESIDENT_KIB" || failed=1
else
  echo "skip  memory: the sidecar's paths are absolute, so it needs chroot: run as root"
fi
exit "$failed"
