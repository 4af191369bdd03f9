#!/bin/bash
# tests/lua/run.sh [SPEC...]: the specs of the Lua package under every interpreter that has a module in $REMORA_BUILD; needs busted. $REMORA_LUA_ONLY: one interpreter.
set -u
cd "$(dirname "$0")/../.."
export REMORA_SOURCE=$PWD
dir=$REMORA_BUILD/lua
specs=("$@")
[ ${#specs[@]} -gt 0 ] || specs=(tests/lua/*_spec.lua)
failed=0 ran=0
for lua in ${REMORA_LUA_ONLY:-lua5.4 luajit lua5.3 lua5.1}; do
  case $lua in luajit | lua5.1) version=5.1 ;; *) version=${lua#lua} ;; esac
  if [ ! -f "$dir/$version/remora/capi.so" ] || ! command -v "$lua" >/dev/null; then
    echo "$lua left out"
    continue
  fi
  # The build's package first, then what busted needs.
  export LUA_PATH="$PWD/tests/lua/?.lua;$dir/?.lua;;" LUA_CPATH="$dir/$version/?.so;;"
  unset LUA_PATH_5_4 LUA_PATH_5_3 LUA_CPATH_5_4 LUA_CPATH_5_3
  for spec in "${specs[@]}"; do
    echo "$lua $spec"
    timeout -k 5 400 env ${REMORA_LUA_ENV-} "$lua" "$(command -v busted)" --helper=tests/lua/helper.lua -o plainTerminal "$spec" || failed=1
    ran=$((ran + 1))
  done
done
[ $failed = 0 ] && [ $ran -gt 0 ] && echo "$ran passed"
