# What `sh -c` runs before a stock Lua that is to be looked for, or that stands under a warden: a Lua can neither fork nor watch.
# $1: seconds between two lines of the warden, 0 for none; $2: a quarter of the watchdog's seconds, 0 for none; $3: the stub; then the interpreter
# and its options, `lua*` for any.
every=$1 quarter=$2 stub=$3
shift 3
if [ "$*" = 'lua*' ]; then
  for lua in lua5.4 lua5.3 luajit lua lua5.2 lua5.1; do
    command -v "$lua" >/dev/null 2>&1 && break
    lua=
  done
  [ "$lua" ] || { echo 'lua: not found: neither lua5.4, lua5.3, luajit, lua, lua5.2 nor lua5.1' >&2; exit 127; }
  set -- "$lua"
fi
# The watchdog of a node ($1) that cannot look while it waits or computes. It has heard something when it has read, computed, or waited for another of
# its processes than the $2 that it has from the start. Only a silence is told, four looks long.
dog() {
  node=$1 few=$2 heard= used=0 quiet=0
  while sleep "$quarter" 2>/dev/null || sleep 1; do
    { IFS=' ' read -r _ got <"/proc/$node/io" && read -r state <"/proc/$node/stat" && read -r children <"/proc/$node/task/$node/children" ||
      [ -r "/proc/$node/task/$node/children" ]; } 2>/dev/null || return
    set -- ${state##*) }
    case $1 in [Tt]) heard= ;; esac
    cpu=$((${12} + ${13}))
    set -- $children
    if [ "$got" = "$heard" ] && [ $# -le "$few" ] && [ "$cpu" -le $((used + 1)) ]; then
      quiet=$((quiet + 1))
      [ "$quiet" -lt 4 ] || { printf '\000remora watchdog\n' >&2; kill -s KILL "$node"; return; }
    else
      heard=$got used=$cpu quiet=0
    fi
  done
}
if [ "$every" = 0 ]; then
  if [ "$quarter" != 0 ]; then dog $$ 1 </dev/null >/dev/null & fi
  exec "$@" -e "$stub"
fi
# The warden: leaves both streams to the node, tells how it is, ends with it what it has started.
exec 3<&0 4>&1 </dev/null >&2
"$@" -e "$stub" <&3 >&4 3<&- 4>&- &
node=$!
exec 3<&- 4>&-
if [ "$quarter" != 0 ]; then dog "$node" 0 & fi
look() {
  if [ -r "/proc/$node/stat" ]; then
    IFS= read -r state <"/proc/$node/stat" && state=${state##*) }
  else
    state=$(ps -o state= -p "$node")
  fi
  case $state in
  [Tt]*) echo stopped ;;
  *) echo alive ;;
  esac
}
(
  trap '' PIPE
  while sleep "$every" 2>/dev/null || sleep 1; do # not everywhere are there parts of seconds
    printf '\000remora %s\n' "$(look)" 2>/dev/null || kill -s KILL 0
  done
) &
wait "$node"
status=$?
if [ "$status" -gt 128 ]; then
  printf '\000remora signal %d\n' $((status - 128))
else
  printf '\000remora exit %d\n' "$status"
fi
kill -s KILL 0
