/* lua_types.h: calls, futures, events and connections as functions of the module remora.capi; the loops that wait are in lua/remora/wait.lua. */
#ifndef REMORA_LUA_TYPES_H
#define REMORA_LUA_TYPES_H

#include "lua_values.h"

/* Adds our functions to the module (at index). */
void lua_types_init(lua_State *L, int module);

/* For what SWIG wraps. */
remora_conn *lua_conn_at(lua_State *L, int index);
remora_proxy *lua_proxy_at(lua_State *L, int index);

#endif
