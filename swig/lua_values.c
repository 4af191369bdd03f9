#include "lua_values.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT 9007199254740992.0 /* 2^53: from here on a double skips integers */
#define HELD_HEAD sizeof(void *)
#define LUA_TCDATA_JIT 10 /* LuaJIT's, in no header */

/* ----------------------------------------------------------------------------------------------------------------- bench */

static void bench_empty(lua_bench *b) {
  while (b->n > 0) (void)remora_value_unref(b->own[--b->n]);
  b->future = remora_future_unref(b->future);
  b->error = remora_error_free(b->error);
  b->options = remora_options_free(b->options);
}

static int bench_gc(lua_State *L) {
  bench_empty(lua_touserdata(L, 1));
  return 0;
}

lua_bench *lua_bench_take(lua_State *L, int kept) {
  lua_rawgeti(L, kept, KEPT_BENCH);
  lua_bench *b = lua_touserdata(L, -1);
  if (b) {
    lua_pushboolean(L, 0); /* what runs meanwhile (a finaliser) takes another one */
    lua_rawseti(L, kept, KEPT_BENCH);
    return b;
  }
  lua_pop(L, 1);
  b = lua_newuserdata(L, sizeof *b);
  memset(b, 0, sizeof *b);
  lua_rawgeti(L, kept, KEPT_BENCH_META);
  lua_setmetatable(L, -2);
  return b;
}

void lua_bench_give(lua_State *L, int kept, lua_bench *b, int index) {
  bench_empty(b);
  lua_pushvalue(L, index);
  lua_rawseti(L, kept, KEPT_BENCH);
}

void lua_conv_init(lua_conv *c, lua_State *L, int kept, lua_bench *bench, lua_strings strings) {
  c->L = L;
  c->side = lua_side_of(L, kept);
  c->kept = kept;
  c->bench = bench;
  c->strings = strings;
  c->depth = 0;
  c->code = 0;
}

/* ------------------------------------------------------------------------------------------------------------------ side */

void lua_side_release(lua_side *side) {
  if (atomic_fetch_sub_explicit(&side->refs, 1, memory_order_acq_rel) != 1) return;
  free(side->spare);
  free(side->modes);
  free(side->sinks);
  free(side);
}

static int side_gc(lua_State *L) {
  lua_side **at = lua_touserdata(L, 1), *side = *at;
  if (!side) return 0;
  *at = NULL;
  atomic_store(&side->closed, 1);
  for (int i = 0; i < side->nsinks; i++) (void)remora_log_remove_sink(side->sinks[i]);
  side->queue = remora_queue_unref(side->queue);
  lua_side_release(side);
  return 0;
}

static void push_meta_with_gc(lua_State *L, lua_CFunction gc) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
}

lua_side *lua_side_new(lua_State *L) {
  lua_createtable(L, KEPT_COUNT, 0);
  int kept = lua_gettop(L);
  lua_side **at = lua_newuserdata(L, sizeof *at);
  *at = NULL;
  push_meta_with_gc(L, side_gc);
  lua_setmetatable(L, -2);
  lua_rawseti(L, kept, KEPT_SIDE);
  lua_side *side = calloc(1, sizeof *side);
  if (!side || !(side->queue = remora_queue_new())) {
    free(side);
    luaL_error(L, "remora: out of memory, descriptors or threads");
    return NULL;
  }
  atomic_init(&side->refs, 1);
  *at = side;
  push_meta_with_gc(L, bench_gc);
  lua_rawseti(L, kept, KEPT_BENCH_META);
  lua_pushboolean(L, 0);
  lua_rawseti(L, kept, KEPT_BENCH);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawseti(L, kept, KEPT_PROXIES);
  lua_newtable(L);
  lua_rawseti(L, kept, KEPT_OBJECTS);
  lua_newtable(L);
  lua_rawseti(L, kept, KEPT_LENT);
  lua_newtable(L);
  lua_rawseti(L, kept, KEPT_TRAITS);
  return side;
}

lua_side *lua_side_of(lua_State *L, int kept) {
  lua_rawgeti(L, kept, KEPT_SIDE);
  lua_side **at = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!at || !*at) luaL_error(L, "remora: this Lua state is being closed");
  return *at;
}

lua_strings lua_strings_of(const lua_side *side, const remora_conn *conn) {
  for (int i = 0; i < side->nmodes; i++)
    if (side->modes[i].conn == conn) return side->modes[i].strings;
  return STRINGS_AUTO;
}

/* --------------------------------------------------------------------------------------------------------------- handles */

const char lua_handle_magic[] = "remora";

lua_handle *lua_handle_at(lua_State *L, int index, lua_kind kind) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) != sizeof(lua_handle)) return NULL;
  lua_handle *h = lua_touserdata(L, index);
  return h->magic == lua_handle_magic && h->kind == kind ? h : NULL;
}

lua_handle *lua_handle_check(lua_State *L, int index, lua_kind kind) {
  static const char *const names[] = {"", "proxy", "future", "event", "connection"};
  lua_handle *h = lua_handle_at(L, index, kind);
  if (!h && kind == LUA_PROXY)
    luaL_error(L, "a remora proxy is needed, not a %s (methods are called with a colon: proxy:method())",
               lua_typename(L, lua_type(L, index)));
  if (!h || !h->pointer)
    luaL_error(L, "a remora %s is needed, not a %s", names[kind], h ? "used one" : lua_typename(L, lua_type(L, index)));
  return h;
}

/* Empty; it gets its pointer when nothing can go wrong any more. meta 0: no metatable yet. */
lua_handle *lua_handle_push(lua_State *L, int kept, lua_kind kind, int meta) {
  lua_handle *h = lua_newuserdata(L, sizeof *h);
  *h = (lua_handle){.magic = lua_handle_magic, .kind = kind};
  if (meta) {
    lua_rawgeti(L, kept, meta);
    lua_setmetatable(L, -2);
  }
  return h;
}

static void push_words(lua_State *L, int from, int to) {
  if (lua_istable(L, from))
    for (lua_pushnil(L); lua_next(L, from);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, to);
    }
}

/* Pushes the metatable of proxies whose types can do what `traits` says. */
static void push_traits(lua_State *L, int kept, const char *traits) {
  lua_rawgeti(L, kept, KEPT_TRAITS);
  int all = lua_gettop(L);
  lua_pushstring(L, traits);
  lua_rawget(L, all);
  if (lua_istable(L, -1)) {
    lua_remove(L, all);
    return;
  }
  lua_pop(L, 1);
  lua_createtable(L, 0, 16);
  int meta = lua_gettop(L);
  lua_rawgeti(L, kept, KEPT_PROXY);
  push_words(L, meta + 1, meta);
  lua_settop(L, meta);
  lua_rawgeti(L, kept, KEPT_WORDS);
  for (const char *at = traits; *at;) {
    size_t n = strcspn(at, " ");
    lua_pushlstring(L, at, n);
    lua_rawget(L, meta + 1);
    push_words(L, meta + 2, meta);
    lua_settop(L, meta + 1);
    at += n + (at[n] == ' ');
  }
  lua_settop(L, meta);
  lua_pushstring(L, traits);
  lua_pushvalue(L, meta);
  lua_rawset(L, all);
  lua_remove(L, all);
}

void lua_push_proxy(lua_conv *c, remora_proxy *proxy) {
  lua_State *L = c->L;
  lua_rawgeti(L, c->kept, KEPT_PROXIES);
  int proxies = lua_gettop(L);
  lua_pushlightuserdata(L, proxy);
  lua_rawget(L, proxies);
  lua_handle *known = lua_handle_at(L, -1, LUA_PROXY);
  if (known && known->pointer == proxy) {
    lua_remove(L, proxies);
    return;
  }
  lua_pop(L, 1);
  lua_handle *h = lua_handle_push(L, c->kept, LUA_PROXY, 0);
  push_traits(L, c->kept, remora_proxy_traits(proxy));
  lua_setmetatable(L, -2); /* with __gc, so from here on the reference has an owner */
  h->strings = lua_strings_of(c->side, remora_proxy_conn(proxy));
  h->pointer = remora_proxy_ref(proxy);
  lua_pushlightuserdata(L, proxy);
  lua_pushvalue(L, -2);
  lua_rawset(L, proxies);
  lua_remove(L, proxies);
}

/* ---------------------------------------------------------------------------------------------------------- Lua to value */

static int fail(lua_conv *c, int code, const char *format, const char *word) {
  c->code = code;
  snprintf(c->message, sizeof c->message, format, word);
  return -1;
}

static int own(lua_conv *c, remora_value *value) {
  if (!value) return fail(c, REMORA_E_NOMEM, "%s", "out of memory");
  c->bench->own[c->bench->n++] = value;
  return 0;
}

/* The newest n on the bench, given away. */
static remora_value *top(lua_conv *c) { return c->bench->own[--c->bench->n]; }

static int enter(lua_conv *c, int index) {
  const void *table = lua_topointer(c->L, index);
  if (c->depth == LUA_MAX_DEPTH) return fail(c, REMORA_E_VALUE, "values nested deeper than %s cannot cross", "128");
  for (int i = 0; i < c->depth; i++)
    if (c->open[i] == table) return fail(c, REMORA_E_VALUE, "a table that contains %s cannot cross", "itself");
  if (!lua_checkstack(c->L, 8)) return fail(c, REMORA_E_NOMEM, "%s", "Lua's stack is full");
  c->open[c->depth++] = table;
  return 0;
}

static int string_value(lua_conv *c, int index, lua_strings how) {
  size_t length;
  const char *text = lua_tolstring(c->L, index, &length);
  if (how == STRINGS_BYTES) return own(c, remora_bytes(text, length));
  remora_value *value = remora_text(text, length);
  if (value) return own(c, value);
  if (how == STRINGS_TEXT) return fail(c, REMORA_E_VALUE, "a string that is not %s cannot cross as text", "UTF-8");
  return own(c, remora_bytes(text, length));
}

static int number_value(lua_conv *c, int index) {
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(c->L, index)) return own(c, remora_int(lua_tointeger(c->L, index)));
  return own(c, remora_float(lua_tonumber(c->L, index)));
#else
  double d = lua_tonumber(c->L, index);
  if (d >= -EXACT && d <= EXACT && d == floor(d) && !(d == 0 && signbit(d))) return own(c, remora_int((int64_t)d));
  return own(c, remora_float(d));
#endif
}

/* int64_t and uint64_t of LuaJIT; another cdata is a reference. ffi.istype and the types are no code of Lua's. */
static int cdata_value(lua_conv *c, int index) {
  lua_State *L = c->L;
  for (int type = KEPT_INT64; c->side->has_int64 && type <= KEPT_UINT64; type++) {
    lua_rawgeti(L, c->kept, KEPT_ISTYPE);
    lua_rawgeti(L, c->kept, type);
    lua_pushvalue(L, index);
    lua_call(L, 2, 1);
    int is = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (!is) continue;
    const void *at = lua_topointer(L, index);
    if (type == KEPT_INT64) return own(c, remora_int(*(const int64_t *)at));
    char decimal[24];
    snprintf(decimal, sizeof decimal, "%llu", (unsigned long long)*(const uint64_t *)at);
    return own(c, remora_bigint(decimal));
  }
  return lua_object_value(c, index);
}

/* Is the key (at index) the integer i? */
static int key_is(lua_State *L, int index, size_t i) {
  return lua_type(L, index) == LUA_TNUMBER && lua_tonumber(L, index) == (lua_Number)i;
}

static int append(lua_conv *c) {
  remora_value *item = top(c);
  if (remora_append(c->bench->own[c->bench->n - 1], item) == 0) return 0;
  return fail(c, REMORA_E_NOMEM, "%s", "out of memory");
}

/* A table whose keys come as 1, 2, ... n is a list. 1: it is none (what was built is dropped). */
static int list_in_order(lua_conv *c, int index) {
  lua_State *L = c->L;
  int mark = c->bench->n, level = lua_gettop(L);
  if (own(c, remora_list()) != 0) return -1;
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (!key_is(L, -2, i + 1)) {
      lua_settop(L, level);
      while (c->bench->n > mark) (void)remora_value_unref(top(c));
      return 1;
    }
    if (lua_to_value(c, lua_gettop(L)) != 0 || append(c) != 0) return -1;
    i++;
  }
  return 0;
}

/* Are the keys exactly 1..n, in whatever order they come? */
static int keys_are_list(lua_State *L, int index) {
  size_t n = lua_rawlen(L, index), count = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    lua_Number key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    if (!(key >= 1 && key <= (lua_Number)n && key == floor(key))) {
      lua_pop(L, 2);
      return 0;
    }
    count++;
  }
  return count == n;
}

static int list_value(lua_conv *c, int index) {
  lua_State *L = c->L;
  if (own(c, remora_list()) != 0) return -1;
  size_t n = lua_rawlen(L, index);
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, index, (int)i);
    if (lua_to_value(c, lua_gettop(L)) != 0 || append(c) != 0) return -1;
    lua_pop(L, 1);
  }
  return 0;
}

static int map_value(lua_conv *c, int index) {
  lua_State *L = c->L;
  if (own(c, remora_map()) != 0) return -1;
  int all_strings = 1;
  if (c->strings == STRINGS_BYTES)
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) all_strings &= lua_type(L, -2) == LUA_TSTRING;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    int key = lua_gettop(L) - 1;
    int made = lua_type(L, key) == LUA_TSTRING
                   ? string_value(c, key, c->strings == STRINGS_BYTES && all_strings ? STRINGS_AUTO : c->strings)
                   : lua_to_value(c, key);
    if (made != 0 || lua_to_value(c, key + 1) != 0) return -1;
    remora_value *item = top(c), *name = top(c);
    if (remora_put(c->bench->own[c->bench->n - 1], name, item) != 0)
      return fail(c, REMORA_E_NOMEM, "%s", "out of memory");
  }
  return 0;
}

/* The digits that a remora.big holds at [1]. */
static int big_value(lua_conv *c, int index) {
  lua_rawgeti(c->L, index, 1);
  const char *digits = lua_type(c->L, -1) == LUA_TSTRING ? lua_tostring(c->L, -1) : "";
  remora_value *value = remora_bigint(digits);
  int made = value ? own(c, value) : fail(c, REMORA_E_VALUE, "'%s' is no integer", digits);
  lua_pop(c->L, 1);
  return made;
}

static int table_value(lua_conv *c, int index) {
  lua_State *L = c->L;
  const lua_side *s = c->side;
  const void *meta = NULL;
  if (lua_topointer(L, index) == s->null) return own(c, remora_null());
  if (!lua_checkstack(L, 8)) return fail(c, REMORA_E_NOMEM, "%s", "Lua's stack is full");
  if (lua_getmetatable(L, index)) {
    meta = lua_topointer(L, -1);
    lua_pop(L, 1);
    if (meta == s->big) return big_value(c, index);
    if (meta == s->kw) return fail(c, REMORA_E_INVALID, "%s has to be the last argument of a call", "remora.kw");
    if (meta == s->ref) {
      lua_rawgeti(L, index, 1);
      int made =
          lua_isnil(L, -1) ? fail(c, REMORA_E_VALUE, "a broken %s", "remora.ref") : lua_object_value(c, lua_gettop(L));
      lua_pop(L, 1);
      return made;
    }
    if (meta != s->list && meta != s->map) return lua_object_value(c, index);
  } else { /* a class is its own metatable's __index, and no map */
    lua_pushliteral(L, "__index");
    lua_rawget(L, index);
    int is_class = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (is_class) return lua_object_value(c, index);
  }
  if (enter(c, index) != 0) return -1;
  int made;
  if (meta == s->map && meta) {
    made = map_value(c, index);
  } else if ((made = list_in_order(c, index)) == 1) {
    if (keys_are_list(L, index))
      made = list_value(c, index);
    else
      made = meta ? fail(c, REMORA_E_VALUE, "a %s with other keys than 1 to n cannot cross", "remora.list")
                  : map_value(c, index);
  }
  c->depth--;
  return made;
}

/* The content; NULL when it is something else, by its metatable. */
const char *lua_held_at(lua_State *L, int kept, int which, int index, size_t *length) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
  lua_rawgeti(L, kept, which);
  int same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  if (!same || lua_rawlen(L, index) < HELD_HEAD) return NULL;
  *length = lua_rawlen(L, index) - HELD_HEAD;
  return (const char *)lua_touserdata(L, index) + HELD_HEAD;
}

static int held_value(lua_conv *c, int index) {
  size_t length;
  const char *data = lua_held_at(c->L, c->kept, KEPT_BYTES, index, &length);
  if (data) return own(c, remora_bytes(data, length));
  if (!(data = lua_held_at(c->L, c->kept, KEPT_TEXT, index, &length))) return 1;
  remora_value *value = remora_text(data, length);
  return value ? own(c, value) : fail(c, REMORA_E_VALUE, "a string that is not %s cannot cross as text", "UTF-8");
}

int lua_to_value(lua_conv *c, int index) {
  lua_State *L = c->L;
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    return own(c, remora_null());
  case LUA_TBOOLEAN:
    return own(c, remora_bool(lua_toboolean(L, index)));
  case LUA_TNUMBER:
    return number_value(c, index);
  case LUA_TSTRING:
    return string_value(c, index, c->strings);
  case LUA_TTABLE:
    return table_value(c, index);
  case LUA_TUSERDATA: {
    lua_handle *h = lua_handle_at(L, index, LUA_PROXY);
    if (h) return own(c, remora_value_of_proxy(h->pointer));
    if (lua_handle_at(L, index, LUA_FUTURE) || lua_handle_at(L, index, LUA_CONN) || lua_handle_at(L, index, LUA_EVENT))
      return fail(c, REMORA_E_VALUE, "a %s cannot cross", "future or connection");
    int held = held_value(c, index);
    return held == 1 ? lua_object_value(c, index) : held;
  }
  case LUA_TCDATA_JIT:
    return cdata_value(c, index);
  default:
    return lua_object_value(c, index);
  }
}

remora_value *lua_to_arguments(lua_conv *c, int first, int last) {
  lua_State *L = c->L;
  if (last < first) return NULL;
  int keywords = 0;
  if (lua_istable(L, last) && lua_getmetatable(L, last)) {
    keywords = lua_topointer(L, -1) == c->side->kw;
    lua_pop(L, 1);
  }
  if (own(c, remora_list()) != 0) return NULL;
  remora_value *list = c->bench->own[c->bench->n - 1];
  for (int i = first; i <= last - keywords; i++)
    if (lua_to_value(c, i) != 0 || append(c) != 0) return NULL;
  if (!keywords) return list;
  if (!lua_checkstack(L, 8) || map_value(c, last) != 0) return NULL;
  if (remora_set_keywords(list, top(c)) != 0) {
    (void)fail(c, REMORA_E_INVALID, "%s: the names of keyword arguments are strings", "remora.kw");
    return NULL;
  }
  return list;
}

/* ---------------------------------------------------------------------------------------------------------- value to Lua */

static void push_big(lua_conv *c, const char *digits, size_t length) {
  lua_State *L = c->L;
  lua_createtable(L, 1, 0);
  lua_pushlstring(L, digits, length);
  lua_rawseti(L, -2, 1);
  lua_rawgeti(L, c->kept, KEPT_BIG);
  lua_setmetatable(L, -2);
}

static void push_integer(lua_conv *c, int64_t number) {
#if LUA_VERSION_NUM >= 503
  lua_pushinteger(c->L, number);
#else
  lua_State *L = c->L;
  if (number >= -(int64_t)EXACT && number <= (int64_t)EXACT) {
    lua_pushnumber(L, (lua_Number)number);
  } else if (c->side->has_int64) {
    lua_rawgeti(L, c->kept, KEPT_INT64);
    lua_call(L, 0, 1); /* a zero of its own, in memory */
    *(int64_t *)(uintptr_t)lua_topointer(L, -1) = number;
  } else {
    char decimal[24];
    int n = snprintf(decimal, sizeof decimal, "%lld", (long long)number);
    push_big(c, decimal, (size_t)n);
  }
#endif
}

void lua_push_held(lua_State *L, int kept, int which, const char *data, size_t length) {
  char *at = lua_newuserdata(L, HELD_HEAD + length);
  memset(at, 0, HELD_HEAD);
  if (length) memcpy(at + HELD_HEAD, data, length);
  lua_rawgeti(L, kept, which);
  lua_setmetatable(L, -2);
}

static int push_map(lua_conv *c, const remora_value *map) {
  lua_State *L = c->L;
  size_t count = remora_length(map), numbers = 0;
  int marked = count == 0;
  lua_createtable(L, 0, count > INT32_MAX ? 0 : (int)count);
  int table = lua_gettop(L);
  for (size_t i = 0; i < count; i++) {
    const remora_value *key = remora_key_at(map, i);
    size_t length = 0;
    const char *text;
    switch (remora_value_kind(key)) {
    case REMORA_NULL:
      lua_rawgeti(L, c->kept, KEPT_NULL);
      break;
    case REMORA_TEXT:
      text = remora_as_text(key, &length);
      lua_pushlstring(L, text, length);
      marked |= length == 7 && memcmp(text, "__index", 7) == 0;
      break;
    default:
      if (lua_from_value(c, key) != 0) return lua_settop(L, table - 1), -1;
    }
    if (lua_type(L, -1) == LUA_TNUMBER) {
      lua_Number number = lua_tonumber(L, -1);
      if (number != number)
        return lua_settop(L, table - 1), fail(c, REMORA_E_VALUE, "a map with the key %s has no place in Lua", "NaN");
      numbers += number >= 1 && number <= (lua_Number)count && number == floor(number);
    }
    if (remora_value_kind(key) != REMORA_TEXT) {
      lua_pushvalue(L, -1);
      lua_rawget(L, table);
      int twice = !lua_isnil(L, -1);
      lua_pop(L, 1);
      if (twice)
        return lua_settop(L, table - 1), fail(c, REMORA_E_VALUE, "a map has keys that %s takes for equal", "Lua");
    }
    const remora_value *item = remora_at(map, i);
    if (remora_value_kind(item) == REMORA_NULL)
      lua_rawgeti(L, c->kept, KEPT_NULL);
    else if (lua_from_value(c, item) != 0)
      return lua_settop(L, table - 1), -1;
    lua_rawset(L, table);
  }
  if (marked || numbers == count) {
    lua_rawgeti(L, c->kept, KEPT_MAP);
    lua_setmetatable(L, table);
  }
  return 0;
}

static int push_list(lua_conv *c, const remora_value *list) {
  lua_State *L = c->L;
  size_t count = remora_length(list);
  lua_createtable(L, count > INT32_MAX ? 0 : (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    const remora_value *item = remora_at(list, i);
    if (remora_value_kind(item) == REMORA_NULL)
      lua_rawgeti(L, c->kept, KEPT_NULL);
    else if (lua_from_value(c, item) != 0)
      return lua_pop(L, 1), -1;
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 0;
}

int lua_from_value(lua_conv *c, const remora_value *value) {
  lua_State *L = c->L;
  size_t length;
  const char *text;
  if (!lua_checkstack(L, 10)) return fail(c, REMORA_E_NOMEM, "%s", "Lua's stack is full");
  switch (remora_value_kind(value)) {
  case REMORA_NULL:
    lua_pushnil(L);
    return 0;
  case REMORA_BOOL:
    lua_pushboolean(L, remora_as_bool(value));
    return 0;
  case REMORA_INT:
    push_integer(c, remora_as_int(value));
    return 0;
  case REMORA_FLOAT:
    lua_pushnumber(L, remora_as_float(value));
    return 0;
  case REMORA_BIGINT:
    text = remora_as_text(value, &length);
    push_big(c, text, length);
    return 0;
  case REMORA_TEXT:
    text = remora_as_text(value, &length);
    if (c->strings == STRINGS_BYTES)
      lua_push_held(L, c->kept, KEPT_TEXT, text, length);
    else
      lua_pushlstring(L, text, length);
    return 0;
  case REMORA_BYTES:
    text = remora_as_text(value, &length);
    if (c->strings == STRINGS_BYTES)
      lua_pushlstring(L, text, length);
    else
      lua_push_held(L, c->kept, KEPT_BYTES, text, length);
    return 0;
  case REMORA_LIST:
  case REMORA_TUPLE:
    return push_list(c, value);
  case REMORA_MAP:
    return push_map(c, value);
  case REMORA_PROXY:
    lua_push_proxy(c, remora_as_proxy(value));
    return 0;
  case REMORA_OBJECT:
    return lua_from_object(c, remora_as_object(value));
  }
  return fail(c, REMORA_E_VALUE, "a value of an unknown %s", "kind");
}

/* ---------------------------------------------------------------------------------------------------------------- errors */

static void set_text(lua_State *L, const char *name, const char *text) {
  if (!text) return;
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

void lua_push_error(lua_conv *c) {
  lua_State *L = c->L;
  const remora_error *err = c->bench->error;
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, err ? remora_error_code(err) : c->code);
  lua_setfield(L, -2, "code");
  set_text(L, "message", err ? remora_error_message(err) : c->message);
  if (!err) return;
  set_text(L, "stage", remora_error_stage(err));
  set_text(L, "traceback", remora_error_traceback(err));
  const remora_value *details = remora_error_details(err);
  lua_strings how = c->strings;
  c->strings = STRINGS_AUTO;
  if (details && lua_from_value(c, details) == 0) lua_setfield(L, -2, "details");
  c->strings = how;
}
