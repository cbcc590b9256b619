# Shared by the scripts of this folder (sourced, not run): where things lie, what they need, how they speak.
# shellcheck shell=bash
#
# VOUCHSAFE_REAL     the cache of built servers; one folder per tool and hash of its pins
# VOUCHSAFE_STATE    what running servers write; one folder per cluster or server, gone after `down` or `stop`
# VOUCHSAFE_CLUSTER  name of the cluster that cluster.sh and openbao.sh act on
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${VOUCHSAFE_REAL:=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vouchsafe/real}"
: "${VOUCHSAFE_STATE:=/tmp/vouchsafe-real-$(id -u)}"
: "${VOUCHSAFE_CLUSTER:=default}"
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # iptables and runc stand there, and a plain user's PATH lacks it

EXIT_USAGE=2
EXIT_UNAVAILABLE=69 # this machine cannot run it (sysexits: EX_UNAVAILABLE): a suite may skip on it, on nothing else
LOG_TAIL_LINES=20

say() { printf 'real: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
unavailable() { say "$*"; exit "$EXIT_UNAVAILABLE"; }
# The usage text of a script: its leading comment, without the marks.
usage() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$1" >&2; exit "$EXIT_USAGE"; }

valid_name() { [[ $1 =~ ^[a-z0-9][a-z0-9-]{0,19}$ ]] || fail "'$1' is no usable name: small letters, digits and '-', at most 20"; }

# The state folder: ours alone, because /tmp is open to all and the scripts run as root.
make_state() {
  (umask 077; mkdir -p "$VOUCHSAFE_STATE")
  if [ ! -O "$VOUCHSAFE_STATE" ] || [ -L "$VOUCHSAFE_STATE" ]; then
    fail "$VOUCHSAFE_STATE belongs to someone else: set VOUCHSAFE_STATE to a folder of your own"
  fi
}

# locked NAME CMD…: one at a time on this machine; the lock ends with CMD's process, and its children do not inherit it.
locked() {
  local file=$1; shift
  exec 9>"$file"
  flock -n 9 || { say "waiting for another run (lock $file)"; flock 9; }
  "$@" 9>&-
  exec 9>&-
}

# What a real node needs from the machine, all that is missing in one sentence.
need_machine() {
  local missing=()
  [ "$(uname -s)" = Linux ] || unavailable "the real servers need Linux (namespaces, cgroups); this is $(uname -s): use a Linux VM"
  [ "$(id -u)" = 0 ] || unavailable "a real node needs root (namespaces, mounts, cgroups): run it with sudo, or in a privileged container"
  command -v runc >/dev/null || missing+=(runc)
  [ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
  static_busybox || missing+=(busybox-static)
  need_commands missing iptables:iptables openssl:openssl ip:iproute2 nsenter:util-linux flock:util-linux python3:python3
  [ ${#missing[@]} = 0 ] || unavailable "this machine lacks ${missing[*]}: apt-get install -y ${missing[*]}"
}
# A dynamic program names its loader in its first page.
static_busybox() { [ -x /bin/busybox ] && ! head -c 4096 /bin/busybox | grep -qa '/ld-'; }

# need_commands ARRAY COMMAND:PACKAGE…: appends the packages of absent commands.
need_commands() {
  local -n lacks=$1; shift
  local pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || [[ " ${lacks[*]:-} " == *" ${pair#*:} "* ]] || lacks+=("${pair#*:}")
  done
}

# The folder of a tool: its name and a hash of everything in its folder, so a changed pin is a new folder.
tool_folder() {
  local hash
  [ -f "$HERE/$1/go.mod" ] || fail "no such tool: $1 (known: $(known_tools))"
  hash=$(cd "$HERE/$1" && find . -path ./sdk -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)
  printf '%s/%s-%s\n' "$VOUCHSAFE_REAL" "$1" "$hash"
}
known_tools() { (cd "$HERE" && printf '%s ' */go.mod | sed 's#/go.mod##g; s/ $//'); }

# retry SECONDS CMD…: until CMD succeeds; its output is thrown away. Polls at 10 Hz: finer gains nothing on a start of seconds.
retry() {
  local deadline=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# process_of COMMAND LINE: the ids of processes with exactly this command line.
process_of() { pgrep -f -x "$(printf %s "$*" | sed 's/[][\.*^$+?(){}|]/\\&/g')"; }

# show_log NAME FILE: the end of a component's log, for the person who reads a failed run.
show_log() { say "$1: the last $LOG_TAIL_LINES lines of its log:"; tail -n "$LOG_TAIL_LINES" "$2" 2>/dev/null | cut -c1-400 >&2 || true; }

# issue FOLDER NAME SUBJECT [SAN]: a certificate of FOLDER/ca (made on first use), good for server and client.
issue() {
  local folder=$1 name=$2 subject=$3 san=${4:-} days=30
  (
    umask 077; mkdir -p "$folder"; cd "$folder"
    [ -f ca.key ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt \
      -subj /CN=vouchsafe-test-ca -days "$days" 2>/dev/null
    printf 'extendedKeyUsage=serverAuth,clientAuth\n%s\n' "${san:+subjectAltName=$san}" >"$name.ext"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$name.key" -out "$name.csr" -subj "$subject" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "$name.crt" -days "$days" \
      -extfile "$name.ext" 2>/dev/null
    rm -f "$name.csr" "$name.ext"
  ) || fail "openssl could not make the certificate '$name' in $folder"
}
