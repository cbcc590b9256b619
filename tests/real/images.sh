#!/usr/bin/env bash
# Makes the images of the suites, as tars for `cluster.sh import`.
# usage: images.sh OUT-FOLDER IMAGE…
#   app                localhost/vouchsafe-app:dev: the stand-in app, see images/app.sh; on busybox, so it has a shell
#   busybox            localhost/busybox:1
#   pause              localhost/pause:1 (cluster.sh imports it by itself)
#   ROLE=BINARY        localhost/vouchsafe-ROLE:dev from scratch: the static BINARY at /vouchsafe-ROLE, uid 65532, no shell
. "$(dirname "$0")/lib.sh"

NONROOT=65532:65532 # the uid of distroless' nonroot images: what a cluster's policies expect of a tool's image

[ $# -ge 2 ] || usage "$0"
out=$1; shift
mkdir -p "$out"
for image in "$@"; do
  case $image in
    app) "$HERE/image.py" "$out/app.tar" localhost/vouchsafe-app:dev --busybox --file "/app=$HERE/images/app.sh:755" -- /app ;;
    busybox) "$HERE/image.py" "$out/busybox.tar" localhost/busybox:1 --busybox -- /bin/sh ;;
    pause) "$HERE/image.py" "$out/pause.tar" localhost/pause:1 --busybox -- /bin/sleep 2147483647 ;;
    *=*)
      role=${image%%=*} binary=${image#*=}
      valid_name "$role"
      [ -f "$binary" ] || fail "$binary: no such file: build it first, statically (the sidecar: make sidecar)"
      ! head -c 4096 "$binary" | grep -qa '/ld-' || fail "$binary is linked dynamically: an image from scratch needs the musl build"
      "$HERE/image.py" "$out/$role.tar" "localhost/vouchsafe-$role:dev" --user "$NONROOT" \
        --file "/vouchsafe-$role=$binary:555" -- "/vouchsafe-$role" ;;
    *) usage "$0" ;;
  esac
done
