#!/bin/bash
# tests/run.sh [NAME...]: every suite, or those named; `make test` calls it after the build.
#
#   unit     C unit tests, gcc (ctest)          clang    the same with clang, warnings are errors
#   asan     C, Python, Lua under ASan and UBSan tsan     the C tests with threads under TSan
#   valgrind a C test under memcheck            python   the Python package over "-"
#   ruby     the Ruby package over "-"          lua      the Lua package under every Lua
#   node     every node under every version of its language
#   matrix   every near with every far language carriers ssh, sudo, hops
#   interop  a real Perl node of Object::Remote  cli      the command remora
#   object_remote  what Object::Remote's tests prove, and none of its faults
#   docs     examples and snippets              tree     formatting, sizes, installed tree
#
# A suite's output is shown when it fails. The last line says how many suites passed.
set -u
# In the background of a script, or by nohup, tests of Ctrl-C would find it ignored.
[ -n "${REMORA_TEST_SIGNALS-}" ] || REMORA_TEST_SIGNALS=default exec env --default-signal=INT,QUIT,HUP,PIPE bash "$0" "$@"
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build} PYTHON=${PYTHON:-/usr/bin/python3} JOBS=${JOBS:-$(nproc)}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
export REMORA_BUILD=$BUILD REMORA_PYTHON=$PYTHON
. "$BUILD/env.sh"
unset REMORA_DEBUG
logs=$BUILD/test-logs
mkdir -p "$logs"

# configure NAME FLAGS...: a build of its own below the main one.
configure() {
  local dir=$BUILD/$1
  shift
  cmake -S . -B "$dir" -DPython3_EXECUTABLE="$PYTHON" "$@" && cmake --build "$dir" -j "$JOBS" -- --no-print-directory -s
}
# off LANGUAGE: the main build leaves it out.
off() { grep -qE "^REMORA_$1:BOOL=(OFF|0|NO|FALSE)$" "$BUILD/CMakeCache.txt"; }
same_languages=$(grep -oE '^REMORA_(RUBY|LUA):BOOL=(OFF|0|NO|FALSE)$' "$BUILD/CMakeCache.txt" | sed 's/:BOOL//; s/^/-D/')
no_bindings="-DREMORA_PYTHON=OFF -DREMORA_RUBY=OFF -DREMORA_LUA=OFF"
pytest() { "$PYTHON" -m pytest -q -p no:cacheprovider "$@"; }
run_ctest() { ctest --test-dir "$1" --output-on-failure --no-tests=error "${@:2}"; }

suite_unit() { run_ctest "$BUILD"; }
suite_clang() { configure clang -DCMAKE_C_COMPILER=clang $no_bindings && run_ctest "$BUILD/clang"; }
suite_asan() {
  configure asan -DREMORA_SANITIZE=address,undefined $same_languages &&
    UBSAN_OPTIONS=print_stacktrace=1 run_ctest "$BUILD/asan" &&
    REMORA_BUILD=$BUILD/asan ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 pytest tests/node/test_c.py &&
    REMORA_BUILD=$BUILD/asan ASAN_OPTIONS=quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 pytest tests/node/test_files.py -k '[c]' &&
    { off CLI || suite_cli_asan; } &&
    # Python itself is not instrumented and does not free everything at its end: leaks are looked for in the C tests. And ASan's allocator is not
    # made for fork(): a lock that another thread holds at that moment stays locked in the child. Forks of busy programs are tested without it.
    LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
      PYTHONPATH=$BUILD/asan/python LD_LIBRARY_PATH=$BUILD/asan/lib PYTHONMALLOC=malloc REMORA_BUILD=$BUILD/asan \
      pytest tests/python --ignore tests/python/test_leaks.py --ignore tests/python/test_fork.py --deselect tests/python/test_files.py::test_memory_stays_flat && # a quarantine grows
    LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
      PYTHONPATH=$BUILD/asan/python LD_LIBRARY_PATH=$BUILD/asan/lib PYTHONMALLOC=malloc REMORA_BUILD=$BUILD/asan \
      pytest tests/interop --ignore tests/interop/test_memory.py --ignore tests/interop/test_other_nears.py &&
    { off LUA || REMORA_BUILD=$BUILD/asan REMORA_LUA_ONLY="lua5.4 luajit" LD_LIBRARY_PATH=$BUILD/asan/lib \
      REMORA_LUA_ENV="LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1" tests/lua/run.sh; } && { ! off RUBY || return 0; } &&
    for t in values calls callbacks errors futures threads process far_ruby; do # Ruby's threads take their signal stacks with them
      LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0:use_sigaltstack=0 UBSAN_OPTIONS=print_stacktrace=1 \
        RUBYLIB=$BUILD/asan/ruby LD_LIBRARY_PATH=$BUILD/asan/lib "${RUBY:-ruby}" "tests/ruby/test_$t.rb" --exclude /fork/ || return 1
    done
}
suite_cli_asan() {
  local run="env REMORA_BUILD=$BUILD/asan LD_LIBRARY_PATH=$BUILD/asan/lib UBSAN_OPTIONS=print_stacktrace=1"
  # libedit keeps the names of functions that are added to it.
  $run "$PYTHON" -m pytest -q -p no:cacheprovider tests/cli/test_call.py tests/cli/test_run.py &&
    ASAN_OPTIONS=detect_leaks=0 $run "$PYTHON" -m pytest -q -p no:cacheprovider tests/cli/test_repl.py
}
suite_tsan() { configure tsan -DREMORA_SANITIZE=thread $no_bindings && run_ctest "$BUILD/tsan"; }
suite_valgrind() {
  for t in test_session test_value test_codec test_spec; do # its memcheck knows no pidfd: the hub is left to ASan
    valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --child-silent-after-fork=yes \
      "$BUILD/tests/$t" || return 1
  done
}
suite_python() { pytest tests/python; }
suite_ruby() { for t in tests/ruby/test_*.rb; do timeout 900 "${RUBY:-ruby}" -w "$t" || return 1; done; }
suite_matrix() { pytest tests/matrix; }
suite_object_remote() { pytest tests/object_remote; }
suite_lua() { tests/lua/run.sh; }
suite_node() { pytest tests/node; }
suite_carriers() {
  pytest tests/carriers || return 1
  REMORA_TEST_SUDO=1 tests/fixtures/sudo-namespace.sh env "PATH=$PATH" "$PYTHON" -m pytest -q -p no:cacheprovider tests/carriers/test_sudo.py tests/carriers/test_passwords.py tests/carriers/test_orphans.py -k "sudo or passwords"
  case $? in 0) ;; 77) echo "the tests of sudo need root and were left out" ;; *) return 1 ;; esac
}
suite_interop() { pytest tests/interop; }
suite_cli() { pytest tests/cli; }
suite_docs() { BUILD=$BUILD PYTHON=$PYTHON bash examples/run_all.sh && pytest tests/docs; }
suite_tree() { bash tests/tree.sh; }

# run NAME: the suite's line, its output if it fails; how it went is left in a file.
run() {
  case $1 in
  ruby) language=RUBY ;; lua) language=LUA ;; cli) language=CLI ;; *) language= ;;
  esac
  if [ -n "$language" ] && off "$language"; then
    echo skipped >"$logs/$1.result"
    echo "skipped $1: built with REMORA_$language=OFF"
    return
  fi
  start=$SECONDS
  if "suite_$1" >"$logs/$1.log" 2>&1 </dev/null; then
    echo passed >"$logs/$1.result"
    grep -a 'left out$' "$logs/$1.log"
    echo "ok      $1 ($((SECONDS - start)) s) $(grep -aE '^[0-9]+ passed|tests passed' "$logs/$1.log" | tail -1)"
  else
    echo failed >"$logs/$1.result"
    echo "FAILED  $1 ($((SECONDS - start)) s)"
    tail -n 150 "$logs/$1.log"
  fi
}

# Two at a time: those that compute beside those that mostly wait for processes and time limits.
rm -f "$logs"/*.result
if [ $# -gt 0 ]; then
  for name; do run "$name"; done
else
  set -m # else what runs in the background ignores Ctrl-C, and tests of that with it
  (for name in carriers interop object_remote cli matrix lua; do run "$name"; done) &
  set +m
  for name in unit clang asan tsan valgrind python ruby node docs tree; do run "$name"; done
  wait
fi
count() { cat "$logs"/*.result | grep -c "$1"; }
failed=$(count failed)
echo "$(count passed) passed, $failed failed, $(count skipped) skipped"
[ "$failed" = 0 ]
