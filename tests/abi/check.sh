#!/bin/sh
# check.sh LIBRARY SOURCE: what the library exports, what capi/remora.map lists and what remora.h declares are one and the same; the header
# stands alone in every language that includes it.
set -eu
library=$1 source=$2
header=$source/capi/include/remora.h map=$source/capi/remora.map
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

complain() {
  echo "abi: $*" >&2
  failed=1
}

# Every declaration begins its line with REMORA_API; a line that does and yields no name would go unseen.
sed -nE 's/^REMORA_API [^(]*[ *](remora_[a-z0-9_]+)\(.*/\1/p' "$header" | sort >"$work/declared"
[ "$(grep -c '^REMORA_API ' "$header")" = "$(wc -l <"$work/declared")" ] || complain "a declaration of remora.h cannot be read"
[ "$(grep -c 'REMORA_API' "$header")" = "$(($(wc -l <"$work/declared") + 2))" ] || complain "REMORA_API stands where no declaration begins"
sed -nE 's/^ +(remora_[a-z0-9_]+);$/\1/p' "$map" | sort >"$work/listed"
nm -D --defined-only --format=posix "$library" | sed -nE 's/^([^ @]+)(@@?[^ ]+)? [TDBRVW] .*/\1/p' | sort >"$work/exported"

compare() { # what, file, other, file
  comm -23 "$work/$2" "$work/$4" | while read -r name; do echo "$1 but not $3: $name"; done >"$work/missing"
  [ ! -s "$work/missing" ] || complain "$(cat "$work/missing")"
}
compare "declared in remora.h" declared "listed in remora.map" listed
compare "listed in remora.map" listed "declared in remora.h" declared
compare "listed in remora.map" listed "exported" exported
compare "exported" exported "listed in remora.map" listed

# Every one of them carries the version node, which is the only one.
nm -D --defined-only --with-symbol-versions "$library" | grep ' [TDBRVW] ' | grep -v '@@REMORA_1\.0$' >"$work/unversioned" || true
[ ! -s "$work/unversioned" ] || complain "without the version REMORA_1.0: $(cat "$work/unversioned")"
readelf -V "$library" | sed -nE '/^Version definition section/,/^$/s/.*Name: ([^ ]+).*/\1/p' >"$work/nodes"
[ "$(sed 1d "$work/nodes")" = REMORA_1.0 ] || complain "the version nodes are: $(cat "$work/nodes")"
readelf -d "$library" | grep -q 'SONAME.*\[libremora\.so\.1\]' || complain "the soname is not libremora.so.1"
readelf -d "$library" | grep -q 'FLAGS_1.*NODELETE' || complain "the library can be unloaded"

cat >"$work/use.c" <<'END'
#include "remora.h"
#include "remora.h"
typedef char codes_are_negative[REMORA_E_REMOTE < 0 && REMORA_OK == 0 ? 1 : -1];
int use(void);
int use(void) { return remora_abi() == REMORA_ABI ? (int)sizeof(remora_class) : 0; }
END
cp "$work/use.c" "$work/use.cc"
seen=
for compiler in gcc clang; do
  command -v $compiler >/dev/null || continue
  seen="$seen $compiler"
  for standard in c99 c11; do
    $compiler -std=$standard -pedantic-errors -Wall -Wextra -Wstrict-prototypes -Werror -I "$source/capi/include" -c "$work/use.c" -o "$work/use.o" ||
      complain "remora.h with $compiler -std=$standard"
  done
done
for compiler in g++ clang++; do
  command -v $compiler >/dev/null || continue
  seen="$seen $compiler"
  for standard in c++11 c++17; do
    $compiler -std=$standard -pedantic-errors -Wall -Wextra -Werror -I "$source/capi/include" -c "$work/use.cc" -o "$work/use.o" ||
      complain "remora.h with $compiler -std=$standard"
  done
done
echo "abi: $(wc -l <"$work/exported") functions; compiled with$seen"
exit $failed
