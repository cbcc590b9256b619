#!/usr/bin/env bash
# `vouchsafe apply` against a real OpenBao on loopback; needs no root and no cluster.
# usage: apply.sh        one line per check; the first that fails ends it. A few seconds once everything is built.
# Exit codes: 0 all passed, 1 something failed, 69 this machine cannot run the server (the harness says why).
export VOUCHSAFE_BAO=apply
. "$(dirname "$0")/../real/lib.sh"

ROOT=$(cd "$HERE/../.." && pwd)
program=${CARGO_TARGET_DIR:-$ROOT/target}/debug/vouchsafe
PENDING=2 DENIED=77 UNAVAILABLE=69 FAULTY=66 # exit codes of the verb

main() {
  (cd "$ROOT" && cargo build -p vouchsafe)
  scratch=$(mktemp -d)
  trap 'leave' EXIT
  trap 'exit 130' INT TERM HUP
  eval "$("$HERE/openbao.sh" start --loopback)"
  mkdir "$scratch/grants"
  cat >"$scratch/grants/grants.yaml" <<'X'
apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {name: web, namespace: ci}
spec: {serviceAccounts: [web, worker], secrets: [{name: login, path: secret/ci/login, keys: [password]}]}
---
apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {name: old, namespace: ci}
spec: {serviceAccounts: [old], secrets: [{name: login, path: secret/ci/old}], vault: {role: legacy}}
X
  no_method; creates; updates; limits; sealed
  echo "apply: all checks passed"
}

no_method() {
  check "without the auth method nothing is written, and the command that enables it is told" \
    ends $FAULTY 'bao auth enable -path=kubernetes kubernetes' apply
  check "not even a policy" not bao policy read vouchsafe.ci.web
  bao auth enable kubernetes >/dev/null
}

creates() {
  check "a dry run ends with 0" ends 0 '5 would be created' apply --dry-run
  check "or with 2, where that is asked for" ends $PENDING '+ auth/kubernetes/role/vouchsafe.ci.web' apply --dry-run --detailed-exitcode
  check "and writes nothing" not bao policy read vouchsafe.ci.web
  check "policies and roles are created" ends 0 'were created' apply
  check "the policy stands" bao policy read vouchsafe.ci.web
  check "the role names it" grep -q vouchsafe.ci.web <(bao read -field=token_policies auth/kubernetes/role/vouchsafe.ci.web)
  check "a second run finds nothing to do" ends 0 '0 would be created, 0 updated' apply --dry-run --detailed-exitcode
  check "a role that a Grant names is told, and not made" ends 0 '! auth/kubernetes/role/legacy' apply
  check "really not" not bao read auth/kubernetes/role/legacy
}

updates() {
  bao write auth/kubernetes/role/vouchsafe.ci.web bound_service_account_names=web bound_service_account_namespaces=ci \
    audience=other token_policies=vouchsafe.ci.web token_period=60 >/dev/null
  printf 'path "secret/*" { capabilities = ["sudo"] }' | bao policy write vouchsafe.ci.worker - >/dev/null
  check "a changed role says which fields differ" ends 0 'audience: "other" -> "vouchsafe"' apply --dry-run
  check "also what somebody added" ends 0 'token_period: 60 -> 0' apply --dry-run
  check "a policy of somebody else's making is replaced" ends 0 '~ sys/policies/acl/vouchsafe.ci.worker' apply
  check "afterwards all is as it should be" ends 0 '0 would be created, 0 updated' apply --dry-run --detailed-exitcode
  check "machines read the same" python3 -c 'import json, sys; steps = json.load(sys.stdin)["steps"]; assert {s["change"] for s in steps} == {"keep"}' \
    < <(apply -o json)
}

limits() {
  bao policy write mine - >/dev/null <<<'path "secret/*" { capabilities = ["read"] }'
  local token
  token=$(bao token create -policy=default -field=token)
  check "a token without rights is told the policy that it needs" \
    as "$token" ends $DENIED 'path "auth/kubernetes/role/vouchsafe.\*"' apply
  cat <<'X' | bao policy write applier - >/dev/null
path "sys/policies/acl/vouchsafe.*" { capabilities = ["create", "read", "update"] }
path "auth/kubernetes/role/vouchsafe.*" { capabilities = ["create", "read", "update"] }
X
  bao delete auth/kubernetes/role/vouchsafe.ci.worker >/dev/null
  token=$(bao token create -policy=applier -field=token)
  check "and with just those two rules everything works" as "$token" ends 0 '+ auth/kubernetes/role/vouchsafe.ci.worker' apply
  check "other policies were never touched" grep -q 'path "secret/\*"' <(bao policy read mine)
}

sealed() {
  bao operator seal >/dev/null
  check "a sealed server is told" ends $UNAVAILABLE 'is sealed' apply
}

apply() { "$program" apply --policies "$scratch/grants" "$@" 2>&1; }
bao() { "$HERE/openbao.sh" bao "$@"; }
as() { local VAULT_TOKEN=$1; shift; export VAULT_TOKEN; "$@"; }
# ends CODE PATTERN CMD…: with that exit code and an output that holds the pattern.
ends() {
  local code=$1 pattern=$2 output found=0; shift 2
  output=$("$@") || found=$?
  if [ "$found" != "$code" ] || ! grep -q -e "$pattern" <<<"$output"; then
    echo "exit code $found, wanted $code and $pattern:"; echo "$output"; return 1
  fi
}
not() { ! "$@"; }
check() {
  local what=$1 output; shift
  if output=$("$@" 2>&1); then printf 'ok    %s\n' "$what"; else printf 'FAIL  %s\n%s\n' "$what" "$output" >&2; exit 1; fi
}
leave() {
  local code=$?
  trap - EXIT
  "$HERE/openbao.sh" stop || true
  rm -rf "$scratch"
  exit $code
}

main "$@"
