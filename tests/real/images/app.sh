#!/bin/sh
# The stand-in for an app: says which secrets it found at its very first instruction, then lives or ends as told.
# usage: app sleep | app exit [CODE] | app watch
# It prints digests, never values; a name's target is followed, so what is digested is what an app would read.
#   start UPTIME                 /proc/uptime in seconds: one clock for all containers of a machine, 10 ms fine
#   file SHA256 MODE OWNER PATH  one line a file, sorted by path, entries beginning with '..' left out
#   end COUNT UPTIME
# `watch` prints the block again, headed `change`, whenever it differs; it looks ten times a second.
read -r started _ </proc/uptime
folder=${VOUCHSAFE_APP_FOLDER:-/vouchsafe/secrets}
list() {
  find -L "$folder" -name '..?*' -prune -o -type f -print 2>/dev/null | sort | while read -r path; do
    sum=$(sha256sum <"$path") && printf 'file %s %s %s\n' "${sum%% *}" "$(stat -L -c '%a %u:%g' "$path")" "$path"
  done
}
block() {
  printf '%s %s\n' "$1" "$2"
  [ -z "$3" ] || printf '%s\n' "$3"
  read -r now _ </proc/uptime
  printf 'end %s %s\n' "$(printf '%s' "$3" | grep -c '^file ')" "$now"
}
found=$(list)
block start "$started" "$found"
trap 'exit 0' TERM INT
case ${1:-sleep} in
  sleep) while :; do sleep 3600 & wait $!; done ;;
  exit) exit "${2:-0}" ;;
  watch)
    while :; do
      seen=$(list)
      if [ "$seen" != "$found" ]; then
        read -r now _ </proc/uptime
        found=$seen
        block change "$now" "$found"
      fi
      sleep 0.1
    done ;;
  *) echo "app: unknown: $1" >&2; exit 2 ;;
esac
