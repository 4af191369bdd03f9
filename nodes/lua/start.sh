# What `sh -c` runs before a stock Lua that is to be looked for, or that stands under a warden: a Lua can neither fork nor watch.
# $1: seconds between two lines of the warden, 0 for none; $2: the stub; then the interpreter and its options, `lua*` for any.
every=$1 stub=$2
shift 2
if [ "$*" = 'lua*' ]; then
  for lua in lua5.4 lua5.3 luajit lua lua5.2 lua5.1; do
    command -v "$lua" >/dev/null 2>&1 && break
    lua=
  done
  [ "$lua" ] || { echo 'lua: not found: neither lua5.4, lua5.3, luajit, lua, lua5.2 nor lua5.1' >&2; exit 127; }
  set -- "$lua"
fi
[ "$every" = 0 ] && exec "$@" -e "$stub"
# The warden: leaves both streams to the node, tells how it is, ends with it what it has started.
exec 3<&0 4>&1 </dev/null >&2
"$@" -e "$stub" <&3 >&4 3<&- 4>&- &
node=$!
exec 3<&- 4>&-
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
