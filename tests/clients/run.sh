#!/usr/bin/env bash
# curl and the Python client hvac against the broker; then cli.sh, the command lines and agents of OpenBao and Vault.
# curl and hvac: log in with Kubernetes auth, read, write, list; refusals as Vault gives them.
# Starts `vouchsafe dev` with its examples, so the tokens are those of its pods. Needs curl and python3 with venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d "${TMPDIR:-/tmp}/vouchsafe-clients.XXXXXX")
venv=${VOUCHSAFE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/vouchsafe/hvac-2.4.0}
cleanup() { [ -z "${dev:-}" ] || { kill "$dev" 2>/dev/null && wait "$dev" 2>/dev/null; } || true; rm -rf "$work"; }
trap cleanup EXIT

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import hvac' 2>/dev/null; then
  python3 -m venv "$venv" && "$venv/bin/pip" install -q hvac==2.4.0
fi

program=${CARGO_TARGET_DIR:-target}/release/vouchsafe
cargo build -q --release -p vouchsafe
"$program" dev --state "$work/state" --root "$work/root" >"$work/dev.log" 2>&1 & dev=$!
for _ in $(seq 300); do [ -f "$work/state/dev.json" ] && grep -q 'servers stay up' "$work/dev.log" && break
  kill -0 "$dev" 2>/dev/null || { cat "$work/dev.log"; exit 1; }; sleep 0.1; done

export VAULT_ADDR VAULT_CACERT="$work/state/ca.crt" VAULT_TOKEN
VAULT_ADDR=$(sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' "$work/state/dev.json")
VAULT_TOKEN=$(cat "$work/state/root-token")
jwt=$(cat "$work"/root/monitoring/grafana-*/volumes/vouchsafe-token/token)

passed=0
ok() { passed=$((passed + 1)); echo "ok    $1"; }
fail() { echo "FAIL  $1"; tail -20 "$work/dev.log"; exit 1; }
api() { curl -sS --cacert "$VAULT_CACERT" -o "$work/body" -w '%{http_code}' "$@"; }

echo "== curl"
[ "$(api "$VAULT_ADDR/v1/sys/health")" = 200 ] && ok "health answers without a token" || fail health
[ "$(api "$VAULT_ADDR/v1/auth/kubernetes/login" -d "{\"role\":\"vouchsafe.monitoring.grafana\",\"jwt\":\"$jwt\"}")" = 200 ] && ok "kubernetes login" || fail "login: $(cat "$work/body")"
token=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["auth"]["client_token"])' "$work/body")
[ "$(api -H "X-Vault-Token: $token" "$VAULT_ADDR/v1/secret/data/grafana/github-oauth")" = 200 ] && ok "reads its own path" || fail read
[ "$(api -H "X-Vault-Token: $token" "$VAULT_ADDR/v1/secret/data/argocd/github-oauth")" = 403 ] && ok "is refused another's path" || fail "foreign path"
[ "$(api -H "X-Vault-Token: $token" "$VAULT_ADDR/v1/secret/data/grafana/github-oauth" -d '{"data":{"x":"y"}}')" = 403 ] && ok "may not write" || fail "write without right"
[ "$(api -H "X-Vault-Token: $VAULT_TOKEN" "$VAULT_ADDR/v1/secret/data/clients/curl" -d '{"data":{"greeting":"hello"}}')" = 200 ] && ok "root writes" || fail "root write"
[ "$(api -X LIST -H "X-Vault-Token: $VAULT_TOKEN" "$VAULT_ADDR/v1/secret/metadata/clients")" = 200 ] && grep -q '"curl"' "$work/body" && ok "root lists" || fail list
[ "$(api -H "X-Vault-Token: $token" -X POST "$VAULT_ADDR/v1/auth/token/revoke-self")" = 204 ] && ok "revokes itself" || fail revoke
[ "$(api -H "X-Vault-Token: $token" "$VAULT_ADDR/v1/secret/data/grafana/github-oauth")" = 403 ] && ok "is refused after that" || fail "revoked token"
[ "$(api --path-as-is -H "X-Vault-Token: $VAULT_TOKEN" "$VAULT_ADDR/v1/secret/data/a/../b")" = 400 ] && ok "dot segments are refused" || fail "dot segments"

echo "== hvac"
JWT=$jwt "$venv/bin/python" tests/clients/with_hvac.py && ok "hvac" || fail hvac

echo "== put and audit with the program itself"
printf 'from standard input' | "$program" put secret/clients/put note --stdin --state "$work/none" >"$work/out"
grep -q 'version 1 written: note' "$work/out" && ok "put by VAULT_ADDR" || fail "put: $(cat "$work/out")"
"$program" audit verify "$work/state/audit" >/dev/null && ok "audit verify while the log grows" || fail audit
echo "$passed passed, 0 failed"

echo "== bao and vault"
tests/clients/cli.sh || { code=$?; [ $code = 69 ] && echo "skip  this machine cannot build OpenBao and Vault" || exit $code; }
