rockspec_format = "3.0"
package = "remora"
version = "0.1.0-1"
source = {
  url = "git+file://.", -- built from a checkout: luarocks make lua/remora-0.1.0-1.rockspec
}
description = {
  summary = "Call methods of objects and functions in another process or on another host",
  detailed = "The far host needs nothing but a stock interpreter: Lua, LuaJIT, Python, Ruby or Perl.",
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5" }
external_dependencies = { LIBUV = { header = "uv.h" } }
build = {
  type = "command",
  -- For the one Lua of this tree. The library stays in the rock's own folder: LuaRocks moves what is in lib, and loses its symbolic links.
  build_command = [[cmake -S . -B build-rock -DREMORA_PYTHON=OFF -DREMORA_RUBY=OFF -DREMORA_CLI=OFF -DREMORA_TESTS=OFF -DCMAKE_INSTALL_LIBDIR=native ]]
    .. [[-DREMORA_LUA_VERSIONS=`$(LUA) -e "io.write(jit and 'jit' or _VERSION:sub(5))"` -DREMORA_LUA_DIR=$(LUADIR) -DREMORA_LUA_LIBDIR=$(LIBDIR) -DCMAKE_INSTALL_PREFIX=$(PREFIX) ]]
    .. [[&& cmake --build build-rock]],
  install_command = "cmake --install build-rock",
}
