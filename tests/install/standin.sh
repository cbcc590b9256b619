#!/bin/sh
# The stand-in for the programs of deploy/examples: under their names and paths, with their probes answered. What it found at its first
# instruction it says as tests/real/images/app.sh does, and with which arguments it was started.
# The image `job` ends at once (the file /ends is there), the other one lives on.
[ ! -d /vouchsafe/dex ] || export VOUCHSAFE_APP_FOLDER=/vouchsafe/dex
echo "arguments $*"
if [ -f /ends ]; then exec /app exit 0; fi
# Containers of one pod share its ports: whoever comes first answers the probes.
for port in 3000 5558 8123 13133; do busybox httpd -f -p "$port" -h /www 2>/dev/null & done
trap '' HUP
exec /app sleep
