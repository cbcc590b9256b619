#!/usr/bin/env bash
# The controller against a real API server, with the rights that the chart gives it and no other: Secrets filled, caBundle
# repaired, roots changed under a serving webhook, Grants judged, one leader of two.
# usage: run.sh          one line per check; the first that fails ends it. About 4 minutes on two cores.
# Exit codes: 0 all passed, 1 something failed, 69 this machine cannot run a node (the harness says why).
export VOUCHSAFE_CLUSTER=controller
. "$(dirname "$0")/../real/lib.sh"

SUITE=$(cd "$(dirname "$0")" && pwd)
PORT=9443
PROBES=8081          # the first controller's; the others' follow
REPAIR_MILLIS=5000   # what the controller promises
STEAL_SECONDS=40     # a Lease of 15 s, a look each 3 s, a busy machine
GIVE_SECONDS=15      # a look each 3 s, a busy machine
ROTATE_SECONDS=240   # two signing periods of 25 s, a busy machine
program=${CARGO_TARGET_DIR:-$SUITE/../../target}/debug/vouchsafe-controller
WEBHOOK=vouchsafe-webhook.vouchsafe.svc

main() {
  need_machine
  make_state
  (cd "$SUITE/../.." && cargo build -p vouchsafe-controller)
  scratch=$(mktemp -d)
  trap 'leave' EXIT
  trap 'exit 130' INT TERM HUP
  cluster down; cluster up
  eval "$(cluster env)"
  kubectl apply -f "$SUITE/objects.yaml" >/dev/null
  account
  fills; serves; repairs; judges; elects; rotates; external; rights
  cluster down
  check "nothing of the controllers is left" all_gone
}

all_gone() {
  local pid
  for pid in "${pids[@]}"; do [ ! -d "/proc/$pid" ] || { echo "process $pid still runs"; return 1; }; done
}

# --- what is checked ---------------------------------------------------------------------------------------------------

fills() {
  start one
  check "the first look fills the empty Secrets" retry 30 keys_of vouchsafe-webhook-tls "ca.crt tls.crt tls.key"
  check "each server's" retry 10 keys_of vouchsafe-broker-tls "ca.crt tls.crt tls.key"
  check "and the authority's own" keys_of vouchsafe-ca \
    "current.crt current.key current.since next.crt next.key next.published"
  check "both caBundles are the trust bundle" retry 10 bundles_agree
  check "the controller is ready" retry 10 ready 0
  take_over
  check "openssl accepts the webhook's certificate under the bundle" openssl verify -x509_strict -purpose sslserver \
    -CAfile "$scratch/tls/ca.crt" -verify_hostname "$WEBHOOK" "$scratch/tls/tls.crt"
  check "and for no other name" not openssl verify -purpose sslserver -CAfile "$scratch/tls/ca.crt" \
    -verify_hostname vouchsafe-broker.vouchsafe.svc "$scratch/tls/tls.crt"
  check "the bundle holds two roots, each constrained to our names" two_constrained_roots
  check "metrics tell when certificates end" grep -q 'certificate_end_timestamp_seconds{certificate="vouchsafe-webhook-tls"} [1-9]' \
    <(metrics 0)
}
two_constrained_roots() {
  [ "$(grep -c BEGIN "$scratch/tls/ca.crt")" = 2 ] &&
    openssl x509 -in "$scratch/tls/ca.crt" -noout -text | grep -A 3 'Name Constraints: critical' | grep -q DNS:vouchsafe-
}

serves() {
  cluster in python3 "$SUITE/webhook.py" 10.244.0.1 "$PORT" "$scratch/tls" >"$scratch/webhook.log" 2>&1 &
  pids+=($!)
  check "the API server accepts the webhook's certificate" retry 15 asks
  check "and curl does, by name" cluster in curl -s --fail --cacert "$scratch/tls/ca.crt" \
    --resolve "$WEBHOOK:$PORT:10.244.0.1" "https://$WEBHOOK:$PORT/" -d '{"apiVersion":"v1","kind":"x","request":{"uid":"1"}}'
}
asks() {
  kubectl run probe --image localhost/none:1 --annotations vouchsafe.dev/inject=any --dry-run=server
}

repairs() {
  local worst=0 took
  for _ in 1 2 3 4 5; do
    for patch in \
      '[{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "Zm9yZWlnbg=="}]' \
      '[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]'; do
      for name in vouchsafe vouchsafe-warn; do
        # The API server itself refuses a caBundle that is no PEM; a foreign authority it takes.
        [[ $patch != *Zm9y* ]] || patch=${patch/Zm9yZWlnbg==/$(base64 -w0 "$scratch/foreign.crt")}
        took=$(spoil "$name" "$patch") || { echo "FAIL  a caBundle of $name was not repaired" >&2; exit 1; }
        [ "$took" -le "$worst" ] || worst=$took
      done
    done
  done
  printf 'ok    20 overwritten and emptied caBundles were repaired, the slowest after %s ms\n' "$worst"
  check "within 5 s" test "$worst" -le "$REPAIR_MILLIS"
  kubectl replace -f <(cut_out MutatingWebhookConfiguration) >/dev/null
  check "also after the chart's own manifest replaced them" retry 5 bundles_agree
  check "repairs are counted" grep -q 'ca_bundle_repairs_total{object="vouchsafe"} [1-9]' <(metrics 0)
  kubectl -n vouchsafe patch configmap vouchsafe-trust --type merge -p '{"data": {"ca.crt": "x"}}' >/dev/null
  kubectl -n vouchsafe patch secret vouchsafe-broker-tls --type merge -p '{"data": {"tls.key": "eA=="}}' >/dev/null
  check "a spoilt trust bundle and Secret are repaired" retry 40 whole
  check "and the log names what was wrong" retry 5 grep -q 'tls.key is no PEM private key' "$scratch/one.log"
}
# Milliseconds until the caBundle is ours again.
spoil() {
  local before name=$1
  kubectl patch mutatingwebhookconfiguration "$name" --type json -p "$2" >/dev/null
  before=$(date +%s%3N)
  retry 10 test_bundle "$name" || return 1
  echo $(($(date +%s%3N) - before))
}
whole() {
  bundles_agree && kubectl -n vouchsafe get secret vouchsafe-broker-tls -o 'jsonpath={.data.tls\.key}' | base64 -d |
    grep -q 'BEGIN PRIVATE KEY'
}

judges() {
  kubectl apply -f - >/dev/null <<X
apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {name: good, namespace: default}
spec: {serviceAccounts: [app], secrets: [{name: login, path: secret/app/login, keys: [password]}]}
---
apiVersion: vouchsafe.dev/v1alpha1
kind: Grant
metadata: {name: bad, namespace: default}
spec: {serviceAccounts: [app], secrets: [{name: login, path: secret/data/app/login}]}
X
  check "a good Grant is told so" retry 15 condition good True Compiled 'vouchsafe.default.app'
  check "a bad one is told field, fault and fix" retry 15 condition bad False Refused 'spec.secrets\[0\].path'
  kubectl patch grant bad --type json -p '[{"op": "replace", "path": "/spec/secrets/0/path", "value": "secret/app/login"}]' >/dev/null
  check "and that it is mended" retry 15 condition bad True Compiled 'vouchsafe.default.app'
  check "the status names the generation it is about" test \
    "$(kubectl get grant bad -o 'jsonpath={.metadata.generation} {.status.observedGeneration}')" = "2 2"
}
condition() {
  local found
  found=$(kubectl get grant "$1" -o 'jsonpath={.status.conditions[?(@.type=="Compiled")].status} {.status.conditions[?(@.type=="Compiled")].reason} {.status.conditions[?(@.type=="Compiled")].message}')
  [[ $found =~ ^"$2 $3 ".*$4 ]] || { echo "$found"; return 1; }
}

elects() {
  check "the first controller holds the Lease" test "$(holder)" = one
  start two
  check "a second one is ready beside it" retry 15 ready 1
  check "and does not work" grep -q '^vouchsafe_controller_leader 0' <(metrics 1)
  kill -KILL "${pids[0]}"
  check "a killed leader is replaced" retry $STEAL_SECONDS holds two
  took=$(spoil vouchsafe '[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]')
  check "and its work is done by the other" test "$took" -le "$REPAIR_MILLIS"
  start three
  check "a third one is ready" retry 15 ready 2
  kill -TERM "${pids[2]}"
  check "a leader that ends in order gives the Lease away at once" retry $GIVE_SECONDS holds three
  kill -TERM "${pids[3]}"
  check "and the last one leaves it free" retry $GIVE_SECONDS holds ""
}
holder() { kubectl -n vouchsafe get lease vouchsafe-controller -o 'jsonpath={.spec.holderIdentity}'; }
holds() { [ "$(holder)" = "$1" ]; }

# Two rotations of the root in a minute, while pods are asked for all the time.
rotates() {
  local first=$SECONDS asked=0 roots
  roots=$(root)
  start four --ca-lifetime 90s --ca-overlap 10s --leaf-lifetime 30s
  while [ "$(sort -u "$scratch/roots" 2>/dev/null | wc -l)" -lt 3 ]; do
    [ $((SECONDS - first)) -lt $ROTATE_SECONDS ] || { echo "FAIL  no two rotations in $ROTATE_SECONDS s" >&2; tail "$scratch/four.log" >&2; exit 1; }
    take_over
    asks >"$scratch/asked" 2>&1 || { echo "FAIL  while roots changed" >&2; cat "$scratch/asked" >&2; exit 1; }
    asked=$((asked + 1))
    root >>"$scratch/roots"
  done
  printf 'ok    two rotations of the root: %s of %s pods were admitted\n' "$asked" "$asked"
  check "the root in use is another one" test "$(root)" != "$roots"
  check "nothing was reported as damaged" not grep -q '"level":"warn"' "$scratch/four.log"
  kill -TERM "${pids[-1]}"
  check "its controller ends in order" retry $GIVE_SECONDS holds ""
}
root() { kubectl -n vouchsafe get secret vouchsafe-ca -o 'jsonpath={.data.current\.crt}' | base64 -d | openssl x509 -noout -fingerprint; }

external() {
  start five --ca-file "$scratch/foreign.crt"
  check "with a CA file of one's own the caBundle is that file" retry 30 bundle_is vouchsafe "$scratch/foreign.crt"
  check "and the Secrets are left alone" bundles_differ
  kill -TERM "${pids[-1]}"
  check "it ends in order" retry $GIVE_SECONDS holds ""
}
bundle_is() { [ "$(bundle_of "$1")" = "$(cat "$2")" ]; }
bundles_differ() { [ "$(trust)" != "$(cat "$scratch/foreign.crt")" ]; }

rights() {
  local log=$VOUCHSAFE_STATE/cluster-$VOUCHSAFE_CLUSTER/log/audit.log asked
  # shellcheck disable=SC2086 # words
  for asked in "create secrets" "list secrets" "get secrets/other" "delete secrets/vouchsafe-ca" "create configmaps" \
    "get configmaps/other" "create pods" "update leases.coordination.k8s.io/other"; do
    check "it may not $asked" not kubectl -n vouchsafe auth can-i ${asked/ / } --as system:serviceaccount:vouchsafe:vouchsafe-controller
  done
  check "and it never asked for more than it may" not grep -q \
    '"user":{"username":"system:serviceaccount:vouchsafe:vouchsafe-controller".*"code":403' "$log"
}

# --- tools -------------------------------------------------------------------------------------------------------------

# A kubeconfig that holds the service account's token and nothing else; an authority of somebody else.
account() {
  local token
  retry 20 kubectl -n vouchsafe get serviceaccount vouchsafe-controller
  token=$(kubectl -n vouchsafe create token vouchsafe-controller --duration 2h)
  (umask 077; cat >"$scratch/kubeconfig" <<X
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "$(kubectl config view -o 'jsonpath={.clusters[0].cluster.server}')",
  certificate-authority-data: "$(kubectl config view --raw --flatten -o 'jsonpath={.clusters[0].cluster.certificate-authority-data}')"}}]
users: [{name: controller, user: {token: "$token"}}]
contexts: [{name: controller, context: {cluster: node, user: controller}}]
current-context: controller
X
  )
  issue "$scratch/pki" foreign /CN=foreign
  cp "$scratch/pki/ca.crt" "$scratch/foreign.crt"
}

# start NAME ARGS…: one controller; its probes at the next port.
pids=()
started=0
start() {
  local name=$1 port=$((PROBES + started)); shift
  started=$((started + 1))
  "$HERE/cluster.sh" in env KUBECONFIG="$scratch/kubeconfig" "$program" --identity "$name" --listen "127.0.0.1:$port" \
    --serving "vouchsafe-webhook-tls=$WEBHOOK,$WEBHOOK.cluster.local" \
    --serving "vouchsafe-broker-tls=vouchsafe-broker.vouchsafe.svc" "$@" >"$scratch/$name.log" 2>&1 &
  pids+=($!)
}
probe() { cluster in curl -s --fail "http://127.0.0.1:$((PROBES + $1))/$2"; }
ready() { probe "$1" readyz; }
metrics() { probe "$1" metrics; }

keys_of() {
  local keys
  keys=$(kubectl -n vouchsafe get secret "$1" -o json | python3 -c 'import json, sys; print(*sorted(json.load(sys.stdin).get("data") or {}))')
  [ "$keys" = "$2" ] || { echo "$keys"; return 1; }
}
trust() { kubectl -n vouchsafe get configmap vouchsafe-trust -o 'jsonpath={.data.ca\.crt}'; }
bundle_of() { kubectl get mutatingwebhookconfiguration "$1" -o 'jsonpath={.webhooks[0].clientConfig.caBundle}' | base64 -d; }
test_bundle() { [ -n "$(trust)" ] && [ "$(bundle_of "$1")" = "$(trust)" ]; }
bundles_agree() { test_bundle vouchsafe && test_bundle vouchsafe-warn; }
# What a kubelet does with a mounted Secret.
take_over() {
  local file
  mkdir -p "$scratch/tls"
  kubectl -n vouchsafe get secret vouchsafe-webhook-tls -o json >"$scratch/secret.json"
  for file in tls.crt tls.key ca.crt; do
    python3 -c 'import base64, json, sys; sys.stdout.buffer.write(base64.b64decode(json.load(open(sys.argv[1]))["data"][sys.argv[2]]))' \
      "$scratch/secret.json" "$file" >"$scratch/tls/.$file"
  done
  for file in tls.crt tls.key ca.crt; do mv "$scratch/tls/.$file" "$scratch/tls/$file"; done
}
# The documents of one kind of objects.yaml.
cut_out() { awk -v RS='---\n' -v kind="kind: $1\n" 'index($0, kind) { print "---"; print }' "$SUITE/objects.yaml"; }

cluster() { "$HERE/cluster.sh" "$@"; }
kubectl() { cluster kubectl "$@"; }
not() { ! "$@"; }
check() {
  local what=$1 output; shift
  if output=$("$@" 2>&1); then printf 'ok    %s\n' "$what"; else
    printf 'FAIL  %s\n%s\n' "$what" "$output" >&2
    for log in "$scratch"/*.log; do show_log "$(basename "$log")" "$log"; done
    exit 1
  fi
}
leave() {
  local code=$? pid
  trap - EXIT
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  cluster down || true
  rm -rf "$scratch"
  exit $code
}

main "$@"
