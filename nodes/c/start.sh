# What `sh -c` runs where a C node is wanted: the one that is there, else the one that is asked for and sent.
want='remora-node @VERSION@'
size=@SIZE@
for node in remora-node /usr/local/libexec/remora/remora-node /usr/libexec/remora/remora-node; do
  node=$(command -v "$node" 2>/dev/null) && [ "$("$node" --version 2>/dev/null </dev/null)" = "$want" ] && exec "$node"
done
# A directory of which programs run; the name must be new, so nobody else's file or link is taken.
mask=$(umask)
umask 077
file=
for dir in /dev/shm "$XDG_RUNTIME_DIR" /tmp /var/tmp "$HOME"; do
  [ -d "$dir" ] && [ -w "$dir" ] || continue
  file=$dir/.remora-node-$$
  (set -C && printf '#!/bin/sh\n' >"$file") 2>/dev/null || { file=; continue; }
  chmod 700 "$file" && ("$file") 2>/dev/null </dev/null && break
  rm -f "$file"
  file=
done
[ "$file" ] || { echo 'no directory here lets a program be put there and run' >&2; exit 126; }
trap 'rm -f "$file"' EXIT HUP INT TERM
# Nothing follows the program until the node has spoken: it does no harm if head reads ahead.
printf '\000REMORA?%s %s %s\n' "$(uname -s)" "$(uname -m)" "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
{ head -c "$size" || dd bs=1 count="$size"; } 2>/dev/null >"$file"
[ "$(wc -c <"$file")" -eq "$size" ] || exit 1
"$file" --version >/dev/null </dev/null || exit 126
umask "$mask"
exec "$file" --unlink "$file"
