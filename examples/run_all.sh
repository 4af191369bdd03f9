#!/bin/sh
# run_all.sh: builds the C examples into $BUILD/examples, runs every example over "-" with a time limit and compares what it prints with
# expected/LANGUAGE-NAME.txt. Exit status 0: all of them are as expected. `run_all.sh --accept` writes expected/ anew.
#
#     BUILD   the build tree (build)      PYTHON  the interpreter that it was built for (/usr/bin/python3)
set -eu
examples=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$examples/../build}
PYTHON=${PYTHON:-/usr/bin/python3}
seconds=30
case ${1-} in '' | --accept) ;; *) echo "usage: run_all.sh [--accept]" >&2; exit 2 ;; esac
# shellcheck disable=SC1091
. "$BUILD/env.sh"
# The far side is the same interpreter, whatever `python3` is in PATH.
export REMORA_PYTHON="$PYTHON" PYTHONDONTWRITEBYTECODE=1
out=$BUILD/examples
mkdir -p "$out"
failed=
accept=0
[ "${1-}" != --accept ] || accept=1

# run NAME COMMAND...: compares its standard output; paths of this tree do not matter.
run() {
  name=$1
  shift
  code=0
  timeout "$seconds" "$@" >"$out/$name.out" 2>"$out/$name.err" </dev/null || code=$?
  sed "s|$examples|EXAMPLES|g" "$out/$name.out" >"$out/$name.txt"
  if [ "$code" != 0 ]; then
    echo "FAILED $name (exit status $code; 124 means more than $seconds s)"
    sed 's/^/    /' "$out/$name.txt" "$out/$name.err"
    failed="$failed $name"
  elif [ "$accept" = 1 ]; then
    cp "$out/$name.txt" "$examples/expected/$name.txt"
    echo "accepted $name"
  elif ! diff -u "$examples/expected/$name.txt" "$out/$name.txt"; then
    echo "FAILED $name (the output differs)"
    failed="$failed $name"
  else
    echo "ok $name"
  fi
}

for source in "$examples"/c/*.c; do
  name=$(basename "$source" .c)
  # shellcheck disable=SC2046
  if ! ${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -g -o "$out/$name" "$source" $(pkg-config --cflags --libs remora); then
    echo "FAILED c-$name (it does not compile)"
    failed="$failed c-$name"
    continue
  fi
  run "c-$name" "$out/$name"
done
for source in "$examples"/python/*.py; do
  run "python-$(basename "$source" .py)" "$PYTHON" "$source"
done
if [ -e "$BUILD/ruby/remora/capi.so" ]; then
  for source in "$examples"/ruby/*.rb; do
    run "ruby-$(basename "$source" .rb)" "${RUBY:-ruby}" -w "$source"
  done
else
  echo "built without Ruby: its examples were left out"
fi
if [ -f "$BUILD/lua/5.4/remora/capi.so" ]; then
  for source in "$examples"/lua/*.lua; do
    run "lua-$(basename "$source" .lua)" lua5.4 "$source"
  done
else
  echo "built without Lua: its examples were left out"
fi
if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
