#!/usr/bin/env bash
# Proves this harness on this machine: a node, pods, the gate, a webhook by address, OpenBao's kubernetes auth, and that nothing stays.
# usage: selftest.sh          one line per check; the first that fails ends it. About 45 s on two cores.
export VOUCHSAFE_CLUSTER=selftest VOUCHSAFE_BAO=selftest
. "$(dirname "$0")/lib.sh"

WEBHOOK_PORT=9443
WAIT=--timeout=60s

main() {
  local before
  need_machine
  make_state
  scratch=$(mktemp -d)
  trap 'leave' EXIT
  "$HERE/openbao.sh" stop; cluster down
  before=$(traces)
  cluster up
  "$HERE/images.sh" "$scratch" app busybox
  "$HERE/images.sh" "$scratch/again" app busybox
  check "images are reproducible" cmp "$scratch/app.tar" "$scratch/again/app.tar"
  cluster import "$scratch"/*.tar
  pods; admission; restarts; openbao; sees_failure
  "$HERE/openbao.sh" stop; cluster down
  check "nothing is left: mounts, namespaces, processes, cgroups, links, files, kernel settings" \
    diff <(echo "$before") <(traces)
}

pods() {
  local token
  kubectl apply -f "$HERE/selftest/pods.yaml" >/dev/null
  check "a bare pod starts" kubectl wait --for=condition=Ready pod/bare "$WAIT"
  check "a pod with a native sidecar starts" kubectl wait --for=condition=Ready pod/gated "$WAIT"
  check "a Job ends" kubectl wait --for=condition=complete job/once "$WAIT"
  check "the hook of a native sidecar holds the app until its file is there" grep -q "^end 1 " <(kubectl logs gated -c app)
  token=$(kubectl logs gated -c sidecar | tail -n 1)
  check "a projected token carries its audience" grep -q '"aud":\["vouchsafe"\]' <(decode "$token")
  check "the process of a container is found" grep -q sleep "/proc/$(cluster pid default gated sidecar)/cmdline"
  check "the container's memory volume is seen from the node" cluster node \
    sh -c "grep -q one $VOUCHSAFE_STATE/cluster-selftest/kubelet/pods/*/volumes/kubernetes.io~empty-dir/secrets/a"
}
decode() { python3 -c 'import base64, sys; t = sys.argv[1]; print(base64.urlsafe_b64decode(t + "=" * (-len(t) % 4)).decode())' "$1"; }

admission() {
  local webhook
  issue "$scratch/pki" webhook /CN=webhook IP:10.244.0.1,DNS:webhook.default.svc
  # The script itself, not the function: then $! is the webhook's process.
  "$HERE/cluster.sh" in \
    python3 "$HERE/selftest/webhook.py" 10.244.0.1 "$WEBHOOK_PORT" "$scratch/pki/webhook.crt" "$scratch/pki/webhook.key" >"$scratch/webhook.log" 2>&1 &
  webhook=$!
  kubectl apply -f - >/dev/null <<X
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: selftest}
webhooks:
  - name: selftest.vouchsafe.dev
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
    clientConfig: {url: "https://10.244.0.1:$WEBHOOK_PORT/", caBundle: $(base64 -w0 "$scratch/pki/ca.crt")}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
X
  check "a webhook reached by address changes a pod" retry 10 labelled
  kubectl apply -f - >/dev/null <<X
apiVersion: v1
kind: Service
metadata: {name: webhook, namespace: default}
spec: {ports: [{name: https, port: 443, targetPort: $WEBHOOK_PORT}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: webhook-1, namespace: default, labels: {kubernetes.io/service-name: webhook}}
addressType: IPv4
ports: [{name: https, port: $WEBHOOK_PORT}]
endpoints: [{addresses: [10.244.0.1]}]
X
  kubectl patch mutatingwebhookconfiguration selftest --type=json -p '[
    {"op": "remove", "path": "/webhooks/0/clientConfig/url"},
    {"op": "add", "path": "/webhooks/0/clientConfig/service", "value": {"namespace": "default", "name": "webhook", "path": "/by-service"}}
  ]' >/dev/null
  check "and one reached by a service without selector" retry 10 seen_by_service
  kill "$webhook"; wait "$webhook" 2>/dev/null || true
  check "without its webhook a pod is refused (failurePolicy Fail)" refused 'failed calling webhook "selftest.vouchsafe.dev"' default
  kubectl delete mutatingwebhookconfiguration selftest >/dev/null
  kubectl create namespace strict >/dev/null
  kubectl label namespace strict pod-security.kubernetes.io/enforce=restricted >/dev/null
  check "PodSecurity refuses what the restricted profile forbids" retry 10 refused 'violates PodSecurity "restricted' strict
  check "RBAC refuses a service account without a role" test "$(kubectl auth can-i get secrets --as system:serviceaccount:default:default || true)" = no
  check "the audit log knows the pod" grep -q '"verb":"create".*"name":"gated"' "$VOUCHSAFE_STATE/cluster-selftest/log/audit.log"
}
run_pod() { kubectl -n "$1" run probe --image localhost/busybox:1 --image-pull-policy Never --dry-run=server "${@:2}"; }
labelled() { run_pod default --labels=a=b -o yaml | grep -q 'seen: "*yes'; }
seen_by_service() { labelled && grep -q by-service "$scratch/webhook.log"; }
refused() {
  local answer
  if answer=$(run_pod "$2" 2>&1); then echo "was not refused: $answer"; return 1; fi
  [[ $answer == *"$1"* ]] || { echo "$answer"; return 1; }
}

restarts() {
  local pid
  pid=$(cluster pid kubelet)
  cluster kubelet-kill KILL
  check "a killed kubelet is gone" test ! -d "/proc/$pid"
  cluster kubelet-start
  check "and comes back with its pods" kubectl wait --for=condition=Ready pod/gated "$WAIT"
}

openbao() {
  "$HERE/openbao.sh" start >/dev/null
  "$HERE/openbao.sh" kubernetes-auth
  "$HERE/openbao.sh" bao write auth/kubernetes/role/selftest bound_service_account_names=default \
    bound_service_account_namespaces=default audience=vouchsafe ttl=5m >/dev/null
  check "OpenBao accepts a service account's token" login "$(kubectl create token default --audience vouchsafe)"
  check "and refuses one for another audience" not login "$(kubectl create token default)"
  check "pods reach OpenBao" kubectl exec bare -- nc -w 2 10.244.0.1 8200
  check "its audit log is there" grep -q auth/kubernetes/login "$VOUCHSAFE_STATE/bao-selftest/audit.log"
}
login() { printf %s "$1" | "$HERE/openbao.sh" bao write auth/kubernetes/login role=selftest jwt=-; }

# A start that fails must tell the reason and leave as little as `down`: a second cluster with an audit level that does not exist.
sees_failure() {
  export VOUCHSAFE_CLUSTER=selftest-bad
  VOUCHSAFE_AUDIT_LEVEL=Nonsense "$HERE/cluster.sh" up >"$scratch/failure" 2>&1 || true
  check "a failed start shows the end of the component's log" grep -q 'Unsupported value' "$scratch/failure"
  rm -rf "$VOUCHSAFE_STATE/failed-selftest-bad"
  export VOUCHSAFE_CLUSTER=selftest
}

# What a node could leave behind on the machine.
traces() (
  set +e # a process that ends while it is read is no error
  cut -d' ' -f5 /proc/self/mountinfo | sort
  ls /run/netns /run /var/lib /var/log /opt /etc/cni 2>/dev/null
  readlink /proc/[0-9]*/ns/net 2>/dev/null | sort -u
  find /sys/fs/cgroup -type d \( -name 'vouchsafe-selftest*' -o -name 'kubepods*' \) 2>/dev/null
  pgrep -fa "cluster-selftest|bao-selftest" | grep -v selftest.sh
  ip -br link | cut -d' ' -f1
  iptables-save 2>/dev/null | sed '/^#/d; s/\[.*\]//' || true
  ls -d "$VOUCHSAFE_STATE"/*selftest 2>/dev/null
  cd /proc/sys && grep . vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops net/ipv4/ip_forward \
    net/netfilter/nf_conntrack_max 2>/dev/null
)

cluster() { "$HERE/cluster.sh" "$@"; }
kubectl() { cluster kubectl "$@"; }
not() { ! "$@"; }
check() {
  local what=$1 output; shift
  if output=$("$@" 2>&1); then printf 'ok    %s\n' "$what"; else printf 'FAIL  %s\n%s\n' "$what" "$output" >&2; exit 1; fi
}
leave() {
  local code=$?
  trap - EXIT
  if [ $code != 0 ]; then "$HERE/openbao.sh" stop; cluster down; fi
  rm -rf "$scratch"
  exit $code
}

main "$@"
