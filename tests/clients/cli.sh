#!/usr/bin/env bash
# The command lines and agents of OpenBao and Vault against the broker: before OpenBao, before Vault, and with the embedded store;
# exit codes and outputs as straight at the server. Builds the pinned servers once per machine (tests/real/build.sh); exit code 69
# means that this machine cannot.
# usage: cli.sh [FILTER]     FILTER shows what the commands that hold it print
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/real/build.sh openbao vault
cargo build -q --release -p vouchsafe-broker
began=$SECONDS
python3 tests/clients/with_cli.py "${CARGO_TARGET_DIR:-target}/release/vouchsafe-broker" \
  "$(tests/real/build.sh --path openbao)/bao" "$(tests/real/build.sh --path vault)/vault" "$@"
echo "command lines and agents: $((SECONDS - began)) s"
