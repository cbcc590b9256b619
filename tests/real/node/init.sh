#!/usr/bin/env bash
# Process 1 of a node, in its own mount, process and network namespace: prepares them, then adopts and reaps what loses its parent.
# usage: init.sh WORK ADDRESS/PREFIX     (cluster.sh starts it; when it ends, the kernel ends all that runs below it)
# It reports ready by writing the snapshotter that containerd can use here to WORK/run/ready.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
WORK=$1
ADDRESS=$2

main() {
  mount -n --make-rshared / # so that kubelet and containerd share mounts; the host is a private neighbour already
  hide_host_folders
  pin_sysctls
  ip link set lo up
  ip link add cni0 type bridge
  ip addr add "$ADDRESS" dev cni0
  ip link set cni0 up
  snapshotter >"$WORK/run/ready"
  while :; do sleep 3600 & wait $! || true; done
}

# Paths compiled into kubelet, containerd, runc and CNI get empty folders of the node; what we need below them comes back.
hide_host_folders() {
  local keep=/mnt folder path
  # -n: while the host's /run is in sight, mount would note itself down there
  mount -n -t tmpfs -o mode=700 node "$keep"
  mkdir "$keep/cache" "$keep/repo"
  mount -n --bind "$VOUCHSAFE_REAL" "$keep/cache"
  mount -n --bind "$HERE" "$keep/repo"
  for folder in /run /var/lib /var/log /opt; do
    [ ! -d "$folder" ] || mount -n -t tmpfs -o mode=755 node "$folder"
  done
  for path in "cache=$VOUCHSAFE_REAL" "repo=$HERE"; do
    [ -d "${path#*=}" ] || { mkdir -p "${path#*=}"; mount --bind "$keep/${path%%=*}" "${path#*=}"; }
  done
  umount -l "$keep"
}

# The kubelet sets kernel-wide values. A file over each shows it what it wants to see, so it leaves the machine's own alone.
pin_sysctls() {
  local pair file
  for pair in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$WORK/run/sysctl-$(printf %s "${pair%=*}" | tr / -)
    [ -e "/proc/sys/${pair%=*}" ] || continue
    printf '%s\n' "${pair#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${pair%=*}"
  done
}

# overlayfs does not stack on every file system (a container's own root, for one); copies are slower and always work.
snapshotter() {
  local probe=$WORK/run/overlay kind=native
  mkdir -p "$probe"/{lower,upper,work,merged}
  if mount -t overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" probe "$probe/merged" 2>/dev/null; then
    umount "$probe/merged"; kind=overlayfs
  fi
  rm -rf "$probe"; echo "$kind"
}

main
