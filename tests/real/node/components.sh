# The node's components (sourced by cluster.sh): how each is started, and how one sees that it is well.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the constants are used by cluster.sh; WORK, bin and netns are its own

NODE=node-1
NODE_IP=10.244.0.1 # the bridge's address: where pods reach the node and its processes, and the API server its webhooks
POD_CIDR=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_IP=10.96.0.10
ISSUER=https://kubernetes.default.svc
COMPONENTS="etcd kube-apiserver containerd kube-controller-manager kube-scheduler kube-proxy kubelet"

# One argument a line.
arguments() {
  local k=$WORK/pki
  case $1 in
    etcd) printf '%s\n' etcd --data-dir="$WORK/etcd" --unsafe-no-fsync --listen-peer-urls=http://127.0.0.1:2380 \
      --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 ;;
    kube-apiserver) printf '%s\n' kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 \
      --advertise-address="$NODE_IP" --service-cluster-ip-range="$SERVICE_CIDR" --allow-privileged=true \
      --tls-cert-file="$k/apiserver.crt" --tls-private-key-file="$k/apiserver.key" --client-ca-file="$k/ca.crt" \
      --service-account-issuer="$ISSUER" --service-account-key-file="$k/sa.pub" --service-account-signing-key-file="$k/sa.key" \
      --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --enable-aggregator-routing=true \
      --kubelet-certificate-authority="$k/ca.crt" --kubelet-client-certificate="$k/kubelet-client.crt" \
      --kubelet-client-key="$k/kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
      --audit-policy-file="$WORK/audit.yaml" --audit-log-path="$WORK/log/audit.log" --audit-log-mode=blocking ;;
    kube-controller-manager) printf '%s\n' kube-controller-manager --kubeconfig="$k/$1.kubeconfig" --leader-elect=false \
      --use-service-account-credentials=true --service-account-private-key-file="$k/sa.key" --root-ca-file="$k/ca.crt" \
      --cluster-signing-cert-file="$k/ca.crt" --cluster-signing-key-file="$k/ca.key" --bind-address=127.0.0.1 ;;
    kube-scheduler) printf '%s\n' kube-scheduler --kubeconfig="$k/$1.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 ;;
    kube-proxy) printf '%s\n' kube-proxy --config="$WORK/kube-proxy.yaml" --hostname-override="$NODE" ;;
    containerd) printf '%s\n' containerd --config="$WORK/containerd.toml" ;;
    kubelet) printf '%s\n' kubelet --config="$WORK/kubelet.yaml" --kubeconfig="$k/kubelet.kubeconfig" --root-dir="$WORK/kubelet" \
      --cert-dir="$WORK/kubelet/pki" --hostname-override="$NODE" --node-ip="$NODE_IP" ;;
  esac
}

healthy() {
  case $1 in
    etcd) probe http 2379 /health ;;
    kube-apiserver) api get --raw /readyz ;;
    kube-controller-manager) probe https 10257 /healthz ;;
    kube-scheduler) probe https 10259 /healthz ;;
    kube-proxy) probe http 10256 /healthz ;;
    containerd) "$(bin containerd)/ctr" -a "$WORK/containerd.sock" version ;;
    kubelet) probe http 10248 /healthz ;;
  esac
}
# probe http|https PORT PATH: whether the answer is 200. No client beyond bash and openssl, so there is none to install.
probe() {
  # shellcheck disable=SC2016 # expanded inside
  nsenter --net="$(netns)" timeout 2 bash -c '
    request="GET $3 HTTP/1.0\r\nHost: localhost\r\n\r\n"
    if [ "$1" = https ]; then printf "$request" | openssl s_client -quiet -connect "127.0.0.1:$2"
    else exec 3<>"/dev/tcp/127.0.0.1/$2"; printf "$request" >&3; cat <&3; fi | head -n 1 | grep -q " 200 "' _ "$@" 2>/dev/null
}
api() { nsenter --net="$(netns)" "$(bin kubernetes)/kubectl" --kubeconfig "$WORK/pki/admin.kubeconfig" "$@" 2>/dev/null; }
node_ready() { api get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' | grep -q True; }
