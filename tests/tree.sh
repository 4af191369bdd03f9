#!/bin/bash
# What the tree and its installation have to look like.
set -eu
fail=0
complain() { echo "tree: $*"; fail=1; }

while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 800 ] || complain "$file has $lines lines: is it one idea?"
done < <(git ls-files | grep -E '\.(c|h|i|py|rb|lua|pl|pm|sh)$' | xargs wc -l)

if command -v clang-format >/dev/null; then
  clang-format --dry-run -Werror $(git ls-files '*.c' '*.h') || complain "clang-format would change this"
fi

# make install leaves what a stranger needs, and a program builds against it with nothing but pkg-config or CMake.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
DESTDIR=$stage cmake --install "$REMORA_BUILD" >/dev/null
prefix=$stage$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$REMORA_BUILD/CMakeCache.txt")
cat >"$stage/hello.c" <<'C'
#include <remora.h>
int main(void) { return remora_abi() != REMORA_ABI; }
C
pc=$(dirname "$(find "$prefix" -name remora.pc)")
lib=$(dirname "$(find "$prefix" -name libremora.so)")
gcc "$stage/hello.c" -o "$stage/hello" -I"$prefix/include" $(PKG_CONFIG_PATH=$pc pkg-config --libs-only-l remora) -L"$lib"
LD_LIBRARY_PATH=$lib "$stage/hello" || complain "the installed library does not fit its header"
mkdir "$stage/use"
cat >"$stage/use/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.22)
project(use C)
find_package(remora 0.1 REQUIRED)
add_executable(use ../hello.c)
target_link_libraries(use remora::remora)
C
cmake -S "$stage/use" -B "$stage/use/b" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null && cmake --build "$stage/use/b" >/dev/null &&
  "$stage/use/b/use" || complain "the CMake package does not work"
PYTHONPATH=$(dirname "$(dirname "$(find "$prefix" -name py.typed)")") LD_LIBRARY_PATH=$lib "$REMORA_PYTHON" -c \
  "import remora; assert remora.__file__.startswith('$prefix'); print(remora.new_on('-', 'collections.Counter', 'aab').most_common(1))" ||
  complain "the installed Python package does not work"
if [ -e "$REMORA_BUILD/ruby/remora/capi.so" ]; then
  RUBYLIB=$(dirname "$(find "$prefix" -name remora.rb)"):$(dirname "$(dirname "$(find "$prefix" -path '*/remora/capi.so' -path '*ruby*')")") LD_LIBRARY_PATH=$lib \
    "${RUBY:-ruby}" -e 'require "remora"; p Remora.new_on("-", "Array", [1, 2]).sum' || complain "the installed Ruby package does not work"
fi
if [ -e "$REMORA_BUILD/bin/remora" ]; then
  for file in man/man1/remora.1 bash-completion/completions/remora zsh/site-functions/_remora fish/vendor_completions.d/remora.fish; do
    [ -s "$prefix/share/$file" ] || complain "share/$file is not installed"
  done
  env -u LD_LIBRARY_PATH "$prefix/bin/remora" call - os.getcwd || complain "the installed command does not work"
fi
exit $fail
