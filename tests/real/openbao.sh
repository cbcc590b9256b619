#!/usr/bin/env bash
# One real OpenBao server as a process: TLS, one key share, unsealed, with an audit log.
# usage: openbao.sh COMMAND            (VOUCHSAFE_BAO=name for several side by side)
#   start [--loopback]   in the network of cluster $VOUCHSAFE_CLUSTER when that is up (pods reach it at 10.244.0.1:8200), else,
#                        or with --loopback, on a free port of 127.0.0.1; prints what `env` prints
#   stop                 ends it and removes its folder; harmless when nothing is there
#   kill | resume        SIGKILL; start again on what the storage holds, unsealed (VOUCHSAFE_BAO_STORAGE=file)
#   seal | unseal        for outage tests
#   env                  shell lines to eval: BAO_ADDR, BAO_CACERT, BAO_TOKEN_FILE, BAO_TOKEN, the same as VAULT_*, BAO_AUDIT_LOG
#   bao ARGS…            its own client with the root token, in the right network
#   in CMD…              CMD with `env` set, in the right network
#   kubernetes-auth      auth/kubernetes against the cluster's API server: TokenReview with a reviewer of its own
# VOUCHSAFE_BAO_STORAGE=inmem|file (default inmem), VOUCHSAFE_BAO_PORT (default 8200 in a cluster, a free one on loopback)
. "$(dirname "$0")/lib.sh"

: "${VOUCHSAFE_BAO:=default}" "${VOUCHSAFE_BAO_STORAGE:=inmem}"
CLUSTER_IP=10.244.0.1
CLUSTER_PORT=8200
START_SECONDS=30 # 0.6 s alone; a first start on a busy 2-core machine reads a 120 MB binary from disk
REVIEWER_TOKEN_LIFE=24h

valid_name "$VOUCHSAFE_BAO"
WORK=$VOUCHSAFE_STATE/bao-$VOUCHSAFE_BAO

main() {
  local verb=${1:-}; shift || true
  case $verb in
    start) start "$@" ;;
    stop) stop ;;
    kill) running; end KILL ;;
    resume) [ -f "$WORK/keys.json" ] || fail "$(not_up)"; alive || { launch; unseal; } ;;
    seal) running; bao write -f sys/seal >/dev/null ;;
    unseal) running; unseal ;;
    env) running; print_env ;;
    bao) running; bao "$@" ;;
    in) running; eval "$(print_env)"; in_network "$@" ;;
    kubernetes-auth) running; kubernetes_auth ;;
    *) usage "$0" ;;
  esac
}

start() {
  local address=127.0.0.1 cluster='' port
  if [ "${1:-}" != --loopback ] && "$HERE/cluster.sh" ns >/dev/null 2>&1; then cluster=$VOUCHSAFE_CLUSTER address=$CLUSTER_IP; fi
  need_tools
  make_state
  ! alive || fail "OpenBao $VOUCHSAFE_BAO runs already: run '$0 stop' first"
  stop
  trap 'stop' EXIT
  trap 'exit 130' INT TERM HUP
  (umask 077; mkdir -p "$WORK/data")
  printf %s "$cluster" >"$WORK/cluster"
  if [ -n "$cluster" ]; then port=$CLUSTER_PORT; else port=$(free_port); fi
  port=${VOUCHSAFE_BAO_PORT:-$port}
  printf 'https://%s:%s' "$address" "$port" >"$WORK/address"
  issue "$WORK/pki" server /CN=openbao "IP:$address,IP:127.0.0.1,DNS:localhost"
  write_config "$address" "$port"
  launch
  (umask 077; bao operator init -key-shares=1 -key-threshold=1 -format=json >"$WORK/keys.json") || {
    show_log openbao "$WORK/log"
    fail "OpenBao could not be initialised"
  }
  (umask 077; key root_token >"$WORK/root-token")
  unseal
  trap - EXIT INT TERM HUP
  print_env
}

need_tools() {
  local missing=()
  need_commands missing openssl:openssl python3:python3 flock:util-linux
  [ ${#missing[@]} = 0 ] || unavailable "this machine lacks ${missing[*]}: apt-get install -y ${missing[*]}"
  [ -e "$(tool_folder openbao)/.complete" ] || "$HERE/build.sh" openbao
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

write_config() {
  local storage
  case $VOUCHSAFE_BAO_STORAGE in
    inmem) storage='storage "inmem" {}' ;;
    file) storage="storage \"file\" { path = \"$WORK/data\" }" ;;
    *) fail "VOUCHSAFE_BAO_STORAGE=$VOUCHSAFE_BAO_STORAGE: it is inmem or file" ;;
  esac
  cat >"$WORK/config.hcl" <<X
$storage
listener "tcp" {
  address       = "$1:$2"
  tls_cert_file = "$WORK/pki/server.crt"
  tls_key_file  = "$WORK/pki/server.key"
}
api_addr     = "https://$1:$2"
cluster_addr = "https://$1:$(($2 + 1))"
audit "file" "file" {
  options { file_path = "$WORK/audit.log" }
}
X
}

# The server's process is found by its command line, which carries the state folder: a process id used anew is not mistaken for it.
launch() {
  in_network setsid env -i PATH="$PATH" HOME="$WORK" "$(tool_folder openbao)/bao" server -config="$WORK/config.hcl" </dev/null >>"$WORK/log" 2>&1 &
  disown
  retry "$START_SECONDS" answers || {
    show_log openbao "$WORK/log"
    fail "OpenBao did not answer at $(address) within $START_SECONDS s"
  }
}
answers() { bao status -format=json || [ $? = 2 ]; } # 2: answered, sealed

unseal() {
  key unseal_keys_b64 | bao_raw write sys/unseal key=- >/dev/null || fail "OpenBao could not be unsealed: see $WORK/log"
  retry "$START_SECONDS" bao read sys/health || fail "OpenBao does not become active: see $WORK/log"
}
key() {
  python3 -c 'import json, sys; v = json.load(open(sys.argv[1]))[sys.argv[2]]; print(v if isinstance(v, str) else v[0], end="")' \
    "$WORK/keys.json" "$1"
}

stop() {
  end TERM
  rm -rf "$WORK"
}
end() {
  local pid
  pid=$(server_pid) || return 0
  kill -s "$1" "$pid" 2>/dev/null || true
  retry 10 test ! -d "/proc/$pid" || kill -KILL "$pid" 2>/dev/null || true
  retry 5 test ! -d "/proc/$pid" || fail "OpenBao (process $pid) does not end"
}

server_pid() { process_of "$(tool_folder openbao)/bao server -config=$WORK/config.hcl"; }
alive() { server_pid >/dev/null; }
running() { alive || fail "$(not_up)"; }
not_up() { echo "OpenBao $VOUCHSAFE_BAO does not run: run '$0 start'"; }
address() { cat "$WORK/address"; }

# In the cluster's network, when the server lives there.
in_network() {
  local cluster
  cluster=$(cat "$WORK/cluster")
  if [ -n "$cluster" ]; then VOUCHSAFE_CLUSTER=$cluster "$HERE/cluster.sh" in "$@"; else "$@"; fi
}
# The root token goes by environment, never as argument; before `init` there is none.
bao() { BAO_TOKEN=$(cat "$WORK/root-token" 2>/dev/null || true) bao_raw "$@"; }
bao_raw() {
  in_network env -u VAULT_TOKEN BAO_ADDR="$(address)" BAO_CACERT="$WORK/pki/ca.crt" HOME="$WORK" "$(tool_folder openbao)/bao" "$@"
}

print_env() {
  local prefix
  for prefix in BAO VAULT; do
    # shellcheck disable=SC2016 # the reader's shell reads the token
    printf 'export %s_ADDR=%q %s_CACERT=%q %s_TOKEN="$(cat %q)"\n' $prefix "$(address)" $prefix "$WORK/pki/ca.crt" $prefix "$WORK/root-token"
  done
  printf 'export BAO_TOKEN_FILE=%q BAO_AUDIT_LOG=%q\n' "$WORK/root-token" "$WORK/audit.log"
}

# As an installation does it: a service account that may only review tokens, whose own token the server holds.
kubernetes_auth() {
  local cluster state
  cluster=$(cat "$WORK/cluster")
  [ -n "$cluster" ] || fail "OpenBao $VOUCHSAFE_BAO runs on loopback, out of the cluster's reach: 'cluster.sh up' first, then '$0 start'"
  state=$VOUCHSAFE_STATE/cluster-$cluster
  export VOUCHSAFE_CLUSTER=$cluster
  "$HERE/cluster.sh" kubectl apply -f - >/dev/null <<X
apiVersion: v1
kind: ServiceAccount
metadata: {name: openbao-reviewer, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: openbao-reviewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{kind: ServiceAccount, name: openbao-reviewer, namespace: kube-system}]
X
  bao auth list -format=json | grep -q '"kubernetes/"' || bao auth enable kubernetes >/dev/null
  "$HERE/cluster.sh" kubectl -n kube-system create token openbao-reviewer --duration="$REVIEWER_TOKEN_LIFE" | tr -d '\n' |
    bao write auth/kubernetes/config kubernetes_host="https://$CLUSTER_IP:6443" kubernetes_ca_cert=@"$state/pki/ca.crt" \
      token_reviewer_jwt=- disable_local_ca_jwt=true >/dev/null
  say "auth/kubernetes of OpenBao $VOUCHSAFE_BAO reviews tokens at cluster $cluster"
}

main "$@"
