#!/usr/bin/env bash
# The stand-ins for the images of deploy/examples, as tars for `cluster.sh import`.
# usage: images.sh OUT-FOLDER        makes standin.tar (localhost/vouchsafe-standin:dev) and job.tar (localhost/vouchsafe-standin:job)
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:?OUT-FOLDER}
mkdir -p "$out"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
echo ok >"$answer"
standin=tests/install/standin.sh
files=(--file "/app=tests/real/images/app.sh:755" --file "/standin=$standin:755")
for program in /run.sh /otelcol-k8s /bin/dex /bin/terraform; do files+=(--file "$program=$standin:755"); done
for page in index.html ping api/health healthz/live healthz/ready; do files+=(--file "/www/$page=$answer:644"); done
tests/real/image.py "$out/standin.tar" localhost/vouchsafe-standin:dev --busybox "${files[@]}" -- /standin
# Here also ends what follows a log for ever in the examples.
tests/real/image.py "$out/job.tar" localhost/vouchsafe-standin:job --busybox "${files[@]}" --file "/bin/tail=$standin:755" \
  --file "/ends=$answer:644" -- /standin
