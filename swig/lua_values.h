/* lua_values.h: Lua stack <-> remora_value, objects of ours that are lent, errors, and who owns what while Lua may raise.
 *
 * Any function of Lua that allocates may leave by longjmp (memory, a faulty finaliser). So whatever C owns across such a call hangs on a *bench*, a userdata on the
 * stack: what a jump leaves behind its finaliser gives back. C never calls functions that are written in Lua. */
#ifndef REMORA_LUA_VALUES_H
#define REMORA_LUA_VALUES_H

#include <lauxlib.h>
#include <lua.h>

#include "remora.h"

#include <stdatomic.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen lua_objlen
#endif

#define LUA_MAX_DEPTH 128 /* docs/protocol.md section 9 */

/* How plain strings cross (option `strings`). */
typedef enum lua_strings { STRINGS_AUTO = 0, STRINGS_TEXT, STRINGS_BYTES } lua_strings;

/* A reference of remora.h in a userdata. */
typedef enum lua_kind { LUA_PROXY = 1, LUA_FUTURE, LUA_EVENT, LUA_CONN } lua_kind;
typedef struct lua_handle {
  const void *magic; /* lua_handle_magic: tells our userdata from others */
  lua_kind kind;
  lua_strings strings; /* of the connection */
  void *pointer;       /* remora_proxy *, ...; NULL when it was given back */
  remora_value *args;  /* LUA_FUTURE: of a call that waits for credit */
} lua_handle;
extern const char lua_handle_magic[];

typedef struct lua_lent lua_lent;

/* What C keeps for one Lua state. It outlives the state as long as the far side uses something that was lent. */
typedef struct lua_side {
  atomic_int refs; /* the state, and one for each lent object */
  atomic_int closed;
  remora_queue *queue;
  int lents;                                      /* objects that a reap may find gone */
  lua_lent *spare;                                /* made before Lua allocates, so that nothing is without an owner */
  lua_lent *gone;                                 /* found by the running reap */
  int has_int64;                                  /* LuaJIT with ffi */
  const void *null, *list, *map, *big, *ref, *kw; /* identities of marks (lua/remora/marks.lua) */
  struct {
    const void *conn;
    lua_strings strings;
  } * modes; /* connections whose strings are not "auto" */
  int nmodes;
  uint64_t *sinks; /* of log records; they end with the state */
  int nsinks;
} lua_side;

/* Slots of the table that is upvalue 2 of all our functions. */
enum {
  KEPT_SIDE = 1, /* userdata: lua_side * */
  KEPT_BENCH,    /* one that is free, or false */
  KEPT_PROXIES,  /* address of a handle -> proxy; weak values */
  KEPT_OBJECTS,  /* address of a lent -> object */
  KEPT_LENT,     /* object -> address of its lent */
  KEPT_TRAITS,   /* traits -> metatable of proxies */
  KEPT_WORDS,    /* word -> metamethods */
  KEPT_PROXY,    /* metamethods of all proxies */
  KEPT_FUTURE,   /* metatables */
  KEPT_EVENT,
  KEPT_CONN,
  KEPT_BYTES,
  KEPT_NULL, /* marks */
  KEPT_LIST,
  KEPT_MAP,
  KEPT_TEXT,
  KEPT_BIG,
  KEPT_REF,
  KEPT_KW,
  KEPT_INT64, /* ffi's types and its istype */
  KEPT_UINT64,
  KEPT_ISTYPE,
  KEPT_BENCH_META,
  KEPT_COUNT
};

typedef struct lua_bench {
  remora_value *own[2 * LUA_MAX_DEPTH + 8];
  int n;
  remora_future *future;
  remora_error *error;
  remora_options *options;
  lua_handle *into; /* where a handle goes that is being made */
} lua_bench;

/* One conversion. */
typedef struct lua_conv {
  lua_State *L;
  lua_side *side;
  int kept; /* index of the table */
  lua_bench *bench;
  lua_strings strings;
  int depth;
  int code; /* of the error, 0: none */
  char message[200];
  const void *open[LUA_MAX_DEPTH]; /* tables that are being converted */
} lua_conv;

lua_side *lua_side_new(lua_State *L); /* pushes the table of what is kept */
lua_side *lua_side_of(lua_State *L, int kept);
void lua_side_release(lua_side *side);
lua_strings lua_strings_of(const lua_side *side, const remora_conn *conn);

/* Pushes a bench. */
lua_bench *lua_bench_take(lua_State *L, int kept);
/* Gives it back, with what it still owns. */
void lua_bench_give(lua_State *L, int kept, lua_bench *bench, int index);
void lua_conv_init(lua_conv *c, lua_State *L, int kept, lua_bench *bench, lua_strings strings);

/* Converts what is at index; the value goes on the bench. 0, or -1 with c->code and c->message. */
int lua_to_value(lua_conv *c, int index);
/* The argument list of what is at first..last; NULL without c->code when there are none. It stays on the bench. */
remora_value *lua_to_arguments(lua_conv *c, int first, int last);
/* Pushes one thing: what the value is in Lua. 0 or -1, with nothing pushed. */
int lua_from_value(lua_conv *c, const remora_value *value);
/* Pushes a table {code, message, stage, traceback, details} of the error that c or the bench has. */
void lua_push_error(lua_conv *c);

/* The userdata's handle, or NULL. */
lua_handle *lua_handle_at(lua_State *L, int index, lua_kind kind);
/* Raises an error of Lua's when it is none. */
lua_handle *lua_handle_check(lua_State *L, int index, lua_kind kind);
lua_handle *lua_handle_push(lua_State *L, int kept, lua_kind kind, int meta);
/* remora.bytes and remora.text (which: KEPT_BYTES, KEPT_TEXT): a userdata; its head is 0, so that no content can be taken for a handle. */
void lua_push_held(lua_State *L, int kept, int which, const char *data, size_t length);
const char *lua_held_at(lua_State *L, int kept, int which, int index, size_t *length);
void lua_push_proxy(lua_conv *c, remora_proxy *proxy); /* borrowed */

/* lua_lent.c */
int lua_object_value(lua_conv *c, int index);
int lua_from_object(lua_conv *c, remora_object *object);
void lua_push_lent(lua_State *L, int kept, void *userdata);
void lua_reap(lua_State *L, int kept);
const char *lua_type_word(lua_State *L, int index);

#endif
