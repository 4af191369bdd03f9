#!/bin/sh
# Gets the benchmark ready: installs with apt what is missing (through sudo when not root), and builds the C and C++
# programs into build/bench/. What cannot be installed or built is named and left out; only a missing C compiler is an error.
#   bench/setup.sh [--no-install]
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
src=$top/bench
out=$top/build/bench
mkdir -p "$out"

packages="gcc g++ pkg-config util-linux openssh-client openssh-server
  python3 python3-execnet python3-rpyc python3-pyro4 python3-serpent python3-mitogen libobject-remote-perl
  ruby lua5.4 luajit libsystemd-dev
  capnproto libcapnp-dev libgrpc++-dev protobuf-compiler protobuf-compiler-grpc"

if [ "${1:-}" != --no-install ] && command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  missing=
  for p in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
  done
  if [ -n "$missing" ]; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    echo "bench: installing$missing"
    if $as_root apt-get update -qq; then
      for p in $missing; do # one by one, so that one that is not to be had costs only itself
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$p" >/dev/null || echo "bench: could not install $p"
      done
    else
      echo "bench: apt-get does not work here; what is missing is left out"
    fi
  fi
fi

# build TARGET DEPENDENCY... -- COMMAND...: runs the command when the target is older than a dependency.
build() {
  target=$1
  shift
  stale=
  while [ "$1" != -- ]; do
    [ -e "$out/$target" ] && [ ! "$1" -nt "$out/$target" ] || stale=1
    shift
  done
  shift
  [ -z "$stale" ] || { echo "bench: building $target" && "$@"; } || { rm -f "$out/$target"; echo "bench: could not build $target; it is left out"; return 1; }
}

cc="${CC:-cc} -std=c11 -O2 -Wall -Wextra"
cxx="${CXX:-c++} -std=c++17 -O2 -DNDEBUG -Wall"
common=$src/common.h

build floor "$src/floor.c" "$common" -- $cc -o "$out/floor" "$src/floor.c" -lpthread || exit 1

library=${REMORA_LIBDIR:-$top/build}
so=$(find "$library" -maxdepth 2 -name libremora.so 2>/dev/null | head -n 1)
if [ -n "$so" ]; then
  build ours_c "$src/ours.c" "$common" "$top/capi/include/remora.h" -- \
    $cc -o "$out/ours_c" -I "$top/capi/include" "$src/ours.c" -L "$(dirname "$so")" -lremora -Wl,-rpath,"$(dirname "$so")" -lpthread
  build bench_far.so "$src/bench_far.c" "$top/capi/include/remora_node.h" -- \
    $cc -shared -fPIC -o "$out/bench_far.so" -I "$top/capi/include" "$src/bench_far.c"
else
  echo "bench: no libremora.so under $library; ours in C is left out"
fi

capnp_build() {
  (cd "$src/peers" && capnp compile -oc++:"$out" peer.capnp) &&
    $cxx -o "$out/peer_capnp" -I "$out" "$src/peers/peer_capnp.cpp" "$out/peer.capnp.c++" $(pkg-config --libs capnp-rpc) -lpthread
}
build peer_capnp "$src/peers/peer_capnp.cpp" "$src/peers/peer.hpp" "$src/peers/peer.capnp" "$common" -- capnp_build

grpc_build() {
  (cd "$src/peers" && protoc --cpp_out="$out" --grpc_out="$out" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" peer.proto) &&
    $cxx -o "$out/peer_grpc" -I "$out" "$src/peers/peer_grpc.cpp" "$out/peer.pb.cc" "$out/peer.grpc.pb.cc" $(pkg-config --libs grpc++ protobuf) -lpthread
}
build peer_grpc "$src/peers/peer_grpc.cpp" "$src/peers/peer.hpp" "$src/peers/peer.proto" "$common" -- grpc_build

build peer_sdbus "$src/peers/peer_sdbus.cpp" "$src/peers/peer.hpp" "$common" -- \
  $cxx -o "$out/peer_sdbus" "$src/peers/peer_sdbus.cpp" $(pkg-config --libs libsystemd) -lpthread
exit 0
