#!/usr/bin/env bash
# One real Kubernetes node on this machine: etcd, API server, controller manager, scheduler, kube-proxy, containerd, kubelet.
# usage: cluster.sh COMMAND …          (VOUCHSAFE_CLUSTER=name for several side by side)
#   up                        start it, up to a Ready node; builds the binaries first if they are missing
#   down                      end everything that belongs to it; harmless when nothing is there
#   kubectl ARGS… | ctr ARGS… the cluster's own clients, as administrator
#   import IMAGE.tar…         images into the node; name them localhost/…:tag and use imagePullPolicy: Never
#   in CMD…                   CMD in the node's network: it serves pods and webhooks at 10.244.0.1, its files are the host's
#   node CMD…                 CMD in all of the node's namespaces: sees the pods' mounts below the state folder
#   shell                     an interactive shell as with `in`, kubectl configured
#   env                       shell lines to eval: KUBECONFIG, PATH, VOUCHSAFE_CLUSTER_*
#   ns                        path of the network namespace, for nsenter --net=…
#   pid COMPONENT | pid NAMESPACE POD CONTAINER   the process id, as the host counts
#   kubelet-kill [SIGNAL] | kubelet-start         likewise: kill COMPONENT [SIGNAL], start COMPONENT
#   dns                       CoreDNS at 10.96.0.10 (builds coredns on first use)
# The node lives in mount, process and network namespaces of its own, held by one process: when that ends, the kernel ends
# the rest. Nothing listens on the host, and what the kubelet writes below /run, /var and /opt is the node's own view of them.
. "$(dirname "$0")/lib.sh"
. "$HERE/node/components.sh"

START_SECONDS=90 # an API server on a busy 2-core machine took 25 s
AUDIT_LEVEL=${VOUCHSAFE_AUDIT_LEVEL:-Metadata}
MAX_PODS=${VOUCHSAFE_MAX_PODS:-110} # the kubelet's own default; addresses of the node suffice for 250
SOCKET_PATH_MAX=107 # bytes, sun_path of unix(7)

valid_name "$VOUCHSAFE_CLUSTER"
WORK=$VOUCHSAFE_STATE/cluster-$VOUCHSAFE_CLUSTER
CGROUP=vouchsafe-$VOUCHSAFE_CLUSTER

main() {
  local verb=${1:-}; shift || true
  case $verb in
    up) need_machine; binaries; make_state; locked "$VOUCHSAFE_STATE/$VOUCHSAFE_CLUSTER.lock" up ;;
    down) need_machine; make_state; locked "$VOUCHSAFE_STATE/$VOUCHSAFE_CLUSTER.lock" down ;;
    kubectl) running; exec nsenter --net="$(netns)" "$(bin kubernetes)/kubectl" --kubeconfig "$WORK/pki/admin.kubeconfig" "$@" ;;
    ctr) running; exec "$(bin containerd)/ctr" -a "$WORK/containerd.sock" -n k8s.io "$@" ;;
    import) running; import_images "$@" ;;
    in) running; VOUCHSAFE_GUEST_OF=$WORK exec nsenter --net="$(netns)" "$@" ;;
    node) running; exec nsenter --target "$(init_pid)" --mount --net --pid "$@" ;;
    shell) running; eval "$(print_env)"; VOUCHSAFE_GUEST_OF=$WORK exec nsenter --net="$(netns)" "${SHELL:-/bin/bash}" ;;
    env) running; print_env ;;
    ns) running; netns ;;
    pid) running; if [ $# = 1 ]; then component_pid "$1"; else container_pid "$@"; fi ;;
    kill) running; kill_component "${1:?component}" "${2:-KILL}" ;;
    start) running; binaries; launch "${1:?component}"; await "$1" ;;
    kubelet-kill) running; kill_component kubelet "${1:-KILL}" ;;
    kubelet-start) running; binaries; launch kubelet; await kubelet ;;
    dns) running; dns ;;
    *) usage "$0" ;;
  esac
}

# --- up ------------------------------------------------------------------------------------------------------------------

binaries() {
  local tool
  for tool in etcd kubernetes containerd; do [ -e "$(bin "$tool")/.complete" ] || "$HERE/build.sh" "$tool"; done
  BIN=$(bin kubernetes):$(bin etcd):$(bin containerd)
}
bin() { tool_folder "$1"; }

up() {
  local component began=$SECONDS
  if init_pid >/dev/null; then
    if { healthy kubelet && healthy kube-apiserver; } >/dev/null 2>&1; then say "cluster $VOUCHSAFE_CLUSTER is up already"; return; fi
    say "cluster $VOUCHSAFE_CLUSTER is half up: starting it anew"
  fi
  down
  check_work_folder
  exec 8>&2 # a trap may run while stderr is turned off for a probe
  trap 'abandon' EXIT
  trap 'exec 2>&8; say "interrupted"; exit 130' INT TERM HUP
  mkdir -p "$WORK"/{log,run,cni,kubelet}
  make_cgroup; make_pki; make_node; make_configs
  launch etcd; launch containerd
  await etcd; launch kube-apiserver
  await containerd; make_pause
  await kube-apiserver
  for component in kube-controller-manager kube-scheduler kube-proxy kubelet; do launch "$component"; done
  for component in kube-controller-manager kube-scheduler kube-proxy kubelet; do await "$component"; done
  expect "node Ready" kubelet node_ready
  expect "service account 'default'" kube-controller-manager api get serviceaccount default
  trap - EXIT INT TERM HUP
  exec 8>&-
  say "cluster $VOUCHSAFE_CLUSTER is up after $((SECONDS - began)) s: $0 kubectl get nodes"
}

# A start that did not end well: say why, keep the logs, leave nothing else.
abandon() {
  local code=$? kept=$VOUCHSAFE_STATE/failed-$VOUCHSAFE_CLUSTER
  exec 2>&8
  trap - EXIT INT TERM HUP
  rm -rf "$kept"; cp -r "$WORK/log" "$kept" 2>/dev/null || true
  down
  say "cluster $VOUCHSAFE_CLUSTER did not start; its logs are kept in $kept"
  exit $((code == 0 ? 1 : code))
}

check_work_folder() {
  case $WORK/ in /run/* | /var/* | /opt/* | /proc/* | /sys/*)
    fail "VOUCHSAFE_STATE=$VOUCHSAFE_STATE: the node hides this part of the file system, choose a folder below /tmp or a home" ;;
  esac
  local longest=$WORK/kubelet/pod-resources/kubelet.sock
  [ ${#longest} -le $SOCKET_PATH_MAX ] || fail "VOUCHSAFE_STATE=$VOUCHSAFE_STATE is too long a path for unix sockets: choose a shorter one"
}

# The process that is the node: everything else hangs below it, in its namespaces.
make_node() {
  setsid unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
    "$HERE/node/init.sh" "$WORK" "$NODE_IP/${POD_CIDR#*/}" </dev/null >"$WORK/log/init.log" 2>&1 8>&- &
  disown
  retry 10 test -s "$WORK/run/ready" || { show_log "the node's namespaces" "$WORK/log/init.log"; exit 1; }
}

make_cgroup() {
  local root controller
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    for controller in cpuset cpu io memory hugetlb pids; do
      echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true # each alone: not every kernel has all
    done
    grep -qw memory /sys/fs/cgroup/cgroup.subtree_control ||
      unavailable "the root cgroup hands no controllers down, because processes stand in it: move them into a child cgroup first"
  fi
  for root in $(cgroup_roots); do
    mkdir -p "$root/$CGROUP"
    [ ! -f "$root/cpuset.cpus" ] || for controller in cpus mems; do cat "$root/cpuset.$controller" >"$root/$CGROUP/cpuset.$controller"; done
  done
}
# Where cgroups hang: one tree, or one per controller (the second also in the mixed layout).
cgroup_roots() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; else find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d; fi
}

make_pki() {
  local pki=$WORK/pki
  issue "$pki" apiserver /CN=kube-apiserver \
    "IP:127.0.0.1,IP:$API_SERVICE_IP,IP:$NODE_IP,DNS:localhost,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  issue "$pki" kubelet-server "/CN=$NODE" "IP:$NODE_IP,DNS:$NODE"
  person admin /O=system:masters/CN=admin
  person kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  person kubelet "/O=system:nodes/CN=system:node:$NODE"
  person kube-controller-manager /CN=system:kube-controller-manager
  person kube-scheduler /CN=system:kube-scheduler
  person kube-proxy /CN=system:kube-proxy
  (umask 077; openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null; openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null)
}

# A client of the API server: its certificate and kubeconfig.
person() {
  local name=$1
  issue "$WORK/pki" "$name" "$2"
  cat >"$WORK/pki/$name.kubeconfig" <<X
apiVersion: v1
kind: Config
clusters: [{name: $VOUCHSAFE_CLUSTER, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $WORK/pki/ca.crt}}]
users: [{name: $name, user: {client-certificate: $WORK/pki/$name.crt, client-key: $WORK/pki/$name.key}}]
contexts: [{name: $VOUCHSAFE_CLUSTER, context: {cluster: $VOUCHSAFE_CLUSTER, user: $name}}]
current-context: $VOUCHSAFE_CLUSTER
X
}

make_configs() {
  sed -e "s#@WORK@#$WORK#g" -e "s#@SNAPSHOTTER@#$(cat "$WORK/run/ready")#" "$HERE/node/containerd.toml" >"$WORK/containerd.toml"
  sed -e "s#@NAME@#$CGROUP#g" -e "s#@WORK@#$WORK#g" -e "s#@POD_CIDR@#$POD_CIDR#" "$HERE/node/cni.json" >"$WORK/cni/10-bridge.conflist"
  sed -e "s#@WORK@#$WORK#g" -e "s#@CGROUP@#/$CGROUP#" -e "s#@NODE_IP@#$NODE_IP#" -e "s#@DNS_IP@#$DNS_IP#" \
    -e "s#@MAX_PODS@#$MAX_PODS#" "$HERE/node/kubelet.yaml" >"$WORK/kubelet.yaml"
  sed -e "s#@WORK@#$WORK#g" "$HERE/node/kube-proxy.yaml" >"$WORK/kube-proxy.yaml"
  printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'omitStages: [RequestReceived]' "rules: [{level: $AUDIT_LEVEL}]" >"$WORK/audit.yaml"
}

make_pause() {
  "$HERE/image.py" "$WORK/run/pause.tar" localhost/pause:1 --busybox -- /bin/sleep 2147483647
  import_images "$WORK/run/pause.tar"
}

import_images() {
  local image
  for image in "$@"; do
    "$(bin containerd)/ctr" -a "$WORK/containerd.sock" -n k8s.io images import --snapshotter "$(cat "$WORK/run/ready")" "$image" \
      >"$WORK/log/import.log" 2>&1 || { show_log "import of $image" "$WORK/log/import.log"; exit 1; }
  done
}

# --- components ----------------------------------------------------------------------------------------------------------

# launch COMPONENT: in the node's namespaces, detached, with no environment but the search path (a proxy setting would reroute
# the API server's calls to webhooks). Its process id, as the node counts, goes to run/COMPONENT.pid.
launch() {
  local component=$1 args
  ! alive "$component" || { say "$component runs already"; return; }
  mapfile -t args < <(arguments "$component")
  [ ${#args[@]} -gt 0 ] || fail "no such component: $component (there are: $COMPONENTS)"
  # shellcheck disable=SC2016 # expanded inside
  nsenter --target "$(init_pid)" --mount --net --pid env -i PATH="$BIN:$PATH" HOME="$WORK" bash -c '
    cd "$1" || exit; log=log/$2.log pid=run/$2.pid; shift 2
    setsid "$@" </dev/null >>"$log" 2>&1 & echo $! >"$pid"' _ "$WORK" "$component" "${args[@]}" 8>&-
}

await() { expect "$1 healthy" "$1" healthy "$1"; }

# expect WHAT COMPONENT CMD…: until CMD succeeds; at once an error when COMPONENT has died, or when it takes too long.
expect() {
  local what=$1 component=$2 deadline=$((SECONDS + START_SECONDS)) why=; shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$component"; then why="$component died"; elif [ "$SECONDS" -ge "$deadline" ]; then why="not within $START_SECONDS s"; fi
    [ -z "$why" ] || { say "waiting for: $what: $why"; show_log "$component" "$WORK/log/$component.log"; exit 1; }
    sleep 0.1
  done
}

kill_component() {
  local component=$1 signal=$2 pid
  pid=$(component_pid "$component")
  kill -s "${signal#SIG}" "$pid"
  case ${signal#SIG} in STOP | CONT | HUP | USR1 | USR2) return ;; esac
  retry 20 test ! -d "/proc/$pid" || fail "$component (process $pid) did not end within 20 s of SIG${signal#SIG}"
}

# --- processes -----------------------------------------------------------------------------------------------------------

# The node's process 1. Its command line carries the state folder, so a process id used anew is not mistaken for it.
init_pid() {
  local pid
  pid=$(process_of "bash $HERE/node/init.sh $WORK $NODE_IP/${POD_CIDR#*/}" | while read -r pid; do
    [ "$(awk '$1 == "NSpid:" { print $NF }' "/proc/$pid/status" 2>/dev/null)" != 1 ] || echo "$pid"; done | head -n 1)
  [ -n "$pid" ] && echo "$pid"
}
netns() { echo "/proc/$(init_pid)/ns/net"; }
running() {
  [ "$(id -u)" = 0 ] || unavailable "the node belongs to root: use sudo"
  init_pid >/dev/null || fail "cluster $VOUCHSAFE_CLUSTER is not up: run '$0 up'"
}
inner_pid() { cat "$WORK/run/$1.pid" 2>/dev/null; }
alive() { local pid; pid=$(inner_pid "$1") && [ -d "/proc/$(init_pid)/root/proc/$pid" ]; }

# component_pid NAME: /proc tells for each process its id in the node's process namespace (second column of NSpid).
component_pid() {
  local inner network
  inner=$(inner_pid "$1") || fail "no such component: $1 (there are: $COMPONENTS)"
  network=$(readlink "$(netns)")
  # grep's exit code is no use here: a process that ends while it reads makes it 2.
  { grep -s -P "^NSpid:\t\d+\t$inner(\t|\$)" /proc/[0-9]*/status || true; } | cut -d/ -f3 |
    while read -r pid; do [ "$(readlink "/proc/$pid/ns/net")" != "$network" ] || echo "$pid"; done | grep . || fail "$1 does not run"
}

# container_pid NAMESPACE POD CONTAINER: its first process, found through the cgroup that carries the container's id.
container_pid() {
  local id folder pid
  id=$(api -n "$1" get pod "$2" -o json | python3 -c 'import json, sys
status = json.load(sys.stdin)["status"]
for c in status.get("initContainerStatuses", []) + status.get("containerStatuses", []) + status.get("ephemeralContainerStatuses", []):
    if c["name"] == sys.argv[1] and "running" in c["state"]: print(c["containerID"].split("//")[1])' "$3") || true
  [ -n "$id" ] || fail "container $3 of pod $1/$2 does not run"
  folder=$(find /sys/fs/cgroup -path "*/$CGROUP/*" -type d -name "$id" | head -n 1)
  while read -r pid; do
    [ "$(awk '$1 == "NSpid:" { print $NF }' "/proc/$pid/status")" != 1 ] || { echo "$pid"; return; }
  done <"$folder/cgroup.procs"
  sort -n "$folder/cgroup.procs" | head -n 1 # shareProcessNamespace: no process 1 here
}

print_env() {
  printf 'export KUBECONFIG=%q PATH=%q\n' "$WORK/pki/admin.kubeconfig" "$(bin kubernetes):$PATH"
  printf 'export VOUCHSAFE_CLUSTER=%q VOUCHSAFE_CLUSTER_WORK=%q VOUCHSAFE_CLUSTER_IP=%q VOUCHSAFE_CLUSTER_NETNS=%q\n' \
    "$VOUCHSAFE_CLUSTER" "$WORK" "$NODE_IP" "$(netns)"
}

# --- down ----------------------------------------------------------------------------------------------------------------

# The order matters only for what is outside of the namespaces: users of the network first, then the cgroups, then the files.
down() {
  local pid network=
  if pid=$(init_pid); then
    network=$(readlink "/proc/$pid/ns/net")
    kill -KILL "$pid" 2>/dev/null || true # takes all processes of its process namespace along
    retry 20 test ! -d "/proc/$pid" || fail "process $pid, the node of cluster $VOUCHSAFE_CLUSTER, does not end: see /proc/$pid/stack"
  fi
  end_guests "$network"
  remove_cgroups
  rm -rf "$WORK"
}

# Processes started with `in`: they use the node's network, or carry its mark in their environment.
end_guests() {
  local network=$1 pid spared guests=()
  spared=" $(ancestors) "
  for pid in $(cd /proc && echo [0-9]*); do
    [[ $spared != *" $pid "* ]] || continue
    if { [ -n "$network" ] && [ "$(readlink "/proc/$pid/ns/net" 2>/dev/null)" = "$network" ]; } ||
      grep -qxzF "VOUCHSAFE_GUEST_OF=$WORK" "/proc/$pid/environ" 2>/dev/null; then guests+=("$pid"); fi
  done
  [ ${#guests[@]} -gt 0 ] || return 0
  kill -TERM "${guests[@]}" 2>/dev/null || true
  retry 5 gone "${guests[@]}" || kill -KILL "${guests[@]}" 2>/dev/null || true
  retry 5 gone "${guests[@]}" || say "processes ${guests[*]} of the node's network do not end"
}
gone() { local pid; for pid in "$@"; do [ ! -d "/proc/$pid" ] || return 1; done; }
ancestors() {
  local pid=$BASHPID
  while [ "$pid" -gt 1 ]; do
    printf '%s ' "$pid"
    pid=$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")
  done
}

remove_cgroups() {
  local root
  for root in $(cgroup_roots); do
    [ -d "$root/$CGROUP" ] || continue
    retry 5 rmdir_tree "$root/$CGROUP" || say "cgroup $root/$CGROUP stays: it still has processes"
  done
}
rmdir_tree() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; [ ! -d "$1" ]; }

# --- dns -----------------------------------------------------------------------------------------------------------------

dns() {
  local image=$WORK/run/coredns.tar
  "$HERE/build.sh" coredns
  "$HERE/image.py" "$image" localhost/coredns:1 --file "/coredns=$(bin coredns)/coredns" -- /coredns
  import_images "$image"
  api apply -f "$HERE/node/coredns.yaml" >/dev/null
  api -n kube-system rollout status deployment/coredns --timeout="${START_SECONDS}s" >/dev/null ||
    fail "CoreDNS did not become ready: $0 kubectl -n kube-system describe pods"
}

main "$@"
