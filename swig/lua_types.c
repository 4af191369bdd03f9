#include "lua_types.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define KEPT lua_upvalueindex(1)

/* What a function says first; then come its results. */
enum { CALL_DONE = 0, CALL_FAILED, CALL_PENDING, CALL_FULL };

/* A function that owns things: what it converts with, and the bench at `index`. */
typedef struct work {
  lua_conv conv;
  int index;
} work;

static void work_begin(work *w, lua_State *L, lua_strings strings) {
  lua_bench *b = lua_bench_take(L, KEPT);
  w->index = lua_gettop(L);
  lua_conv_init(&w->conv, L, KEPT, b, strings);
}

/* status, and the n things on top of the stack */
static int work_end(work *w, int status, int n) {
  lua_State *L = w->conv.L;
  lua_bench_give(L, KEPT, w->conv.bench, w->index);
  lua_pushinteger(L, status);
  lua_insert(L, -n - 1);
  return n + 1;
}

static int work_failed(work *w) {
  lua_push_error(&w->conv);
  return work_end(w, CALL_FAILED, 1);
}

static int64_t integer_at(lua_State *L, int index) { return (int64_t)luaL_checknumber(L, index); }

/* ----------------------------------------------------------------------------------------------------------------- calls */

/* The future on the bench becomes a userdata. */
static lua_handle *push_future(work *w) {
  lua_handle *h = lua_handle_push(w->conv.L, KEPT, LUA_FUTURE, KEPT_FUTURE);
  h->strings = w->conv.strings;
  h->pointer = w->conv.bench->future;
  w->conv.bench->future = NULL;
  return h;
}

/* The result of a ready future, or the error; ends the work. */
static int push_result(work *w, remora_future *future) {
  lua_bench *b = w->conv.bench;
  remora_value *value = remora_future_result(future, &b->error);
  if (!value) return work_failed(w);
  b->own[b->n++] = value;
  if (lua_from_value(&w->conv, value) != 0) return work_failed(w);
  return work_end(w, CALL_DONE, 1);
}

typedef struct request {
  lua_handle *proxy;
  const char *method;
  int64_t timeout;
  unsigned flags;
} request;

/* proxy, method or nil, timeout in ms, flags */
static request request_at(lua_State *L, int first) {
  request r = {.proxy = lua_handle_check(L, first, LUA_PROXY), .timeout = integer_at(L, first + 2)};
  size_t length = 0;
  if (!lua_isnil(L, first + 1)) {
    luaL_checktype(L, first + 1, LUA_TSTRING);
    r.method = lua_tolstring(L, first + 1, &length);
    if (memchr(r.method, 0, length)) luaL_error(L, "a method's name with a zero byte in it");
  }
  r.flags = (unsigned)integer_at(L, first + 3) | REMORA_NOWAIT;
  return r;
}

static int send_call(work *w, const request *r, const remora_value *args) {
  w->conv.bench->future =
      remora_start_with(r->proxy->pointer, r->method, args, r->timeout, r->flags, &w->conv.bench->error);
  return w->conv.bench->future ? 0 : -1;
}

/* The connection is full: the arguments stay in a future until there is room. */
static int call_full(work *w) {
  lua_bench *b = w->conv.bench;
  lua_handle *h = lua_handle_push(w->conv.L, KEPT, LUA_FUTURE, KEPT_FUTURE);
  h->strings = w->conv.strings;
  if (b->n) h->args = b->own[--b->n];
  return work_end(w, CALL_FULL, 1);
}

static int begin_call(lua_State *L, work *w, request *r) {
  int last = lua_gettop(L);
  *r = request_at(L, 1);
  work_begin(w, L, r->proxy->strings);
  if (w->conv.side->lents) lua_reap(L, KEPT);
  remora_value *args = lua_to_arguments(&w->conv, 5, last);
  if (!args && w->conv.code) return work_failed(w);
  if (send_call(w, r, args) == 0) {
    if (args) (void)remora_value_unref(w->conv.bench->own[--w->conv.bench->n]);
    return 0;
  }
  return remora_error_code(w->conv.bench->error) == REMORA_E_OVERLOADED ? call_full(w) : work_failed(w);
}

/* After sending: waits a few microseconds for the result. */
static int spin_call(work *w, const request *r) {
  if (r->flags & REMORA_ONEWAY) {
    lua_pushnil(w->conv.L);
    return work_end(w, CALL_DONE, 1);
  }
  remora_wait state = remora_spin(w->conv.bench->future, w->conv.side->queue);
  if (state == REMORA_WAIT_READY) return push_result(w, w->conv.bench->future);
  (void)push_future(w);
  lua_pushinteger(w->conv.L, state);
  return work_end(w, CALL_PENDING, 2);
}

/* call(proxy, method, timeout, flags, ...) -> DONE, value | FAILED, error | PENDING, future, state | FULL, future */
static int capi_call(lua_State *L) {
  work w;
  request r;
  int n = begin_call(L, &w, &r);
  return n ? n : spin_call(&w, &r);
}

/* start(proxy, method, timeout, flags, ...) -> DONE, future | FAILED, error | FULL, future */
static int capi_start(lua_State *L) {
  work w;
  request r;
  int n = begin_call(L, &w, &r);
  if (n) return n;
  (void)push_future(&w);
  return work_end(&w, CALL_DONE, 1);
}

/* again(future, proxy, method, timeout, flags): tries once more to send what found no room -> DONE, future | FAILED, error | FULL, future */
static int capi_again(lua_State *L) {
  work w;
  lua_handle *h = lua_handle_at(L, 1, LUA_FUTURE);
  request r = request_at(L, 2);
  if (!h || h->pointer) return luaL_error(L, "a call that waits for room is needed");
  work_begin(&w, L, h->strings);
  if (send_call(&w, &r, h->args) == 0) {
    h->pointer = w.conv.bench->future;
    w.conv.bench->future = NULL;
    h->args = remora_value_unref(h->args);
  } else if (remora_error_code(w.conv.bench->error) != REMORA_E_OVERLOADED) {
    return work_failed(&w);
  }
  lua_pushvalue(L, 1);
  return work_end(&w, h->pointer ? CALL_DONE : CALL_FULL, 1);
}

/* --------------------------------------------------------------------------------------------------------------- futures */

static remora_future *future_at(lua_State *L) { return lua_handle_check(L, 1, LUA_FUTURE)->pointer; }

static remora_queue *queue_of(lua_State *L) { return lua_side_of(L, KEPT)->queue; }

/* result(future) -> DONE, value | FAILED, error */
static int capi_result(lua_State *L) {
  lua_handle *h = lua_handle_check(L, 1, LUA_FUTURE);
  work w;
  work_begin(&w, L, h->strings);
  return push_result(&w, h->pointer);
}

static int capi_spin(lua_State *L) {
  lua_pushinteger(L, remora_spin(future_at(L), queue_of(L)));
  return 1;
}

/* wait_for(future, ms): sleeps */
static int capi_wait_for(lua_State *L) {
  lua_pushinteger(L, remora_wait_for(future_at(L), queue_of(L), integer_at(L, 2)));
  return 1;
}

static int capi_state(lua_State *L) {
  lua_pushinteger(L, remora_future_state(future_at(L)));
  return 1;
}

static int capi_cancel(lua_State *L) {
  lua_pushboolean(L, remora_cancel(future_at(L)));
  return 1;
}

/* watch(future, number): an event READY with that number comes when it is ready. */
static int capi_watch(lua_State *L) {
  remora_future *future = future_at(L);
  uintptr_t number = (uintptr_t)integer_at(L, 2);
  work w;
  work_begin(&w, L, STRINGS_AUTO);
  if (remora_then(future, w.conv.side->queue, NULL, (void *)number, NULL, &w.conv.bench->error) != 0)
    return work_failed(&w);
  return work_end(&w, CALL_DONE, 0);
}

/* release(future): nobody will ask for it again; without waiting for the collector. */
static int handle_gc(lua_State *L) {
  lua_handle *h = lua_touserdata(L, 1);
  if (!h || lua_rawlen(L, 1) != sizeof *h || h->magic != lua_handle_magic) return 0;
  void *pointer = h->pointer;
  h->pointer = NULL;
  h->args = remora_value_unref(h->args);
  if (!pointer) return 0;
  switch (h->kind) {
  case LUA_PROXY:
    (void)remora_proxy_unref(pointer);
    break;
  case LUA_FUTURE:
    (void)remora_future_unref(pointer);
    break;
  case LUA_EVENT:
    (void)remora_event_free(pointer);
    break;
  case LUA_CONN:
    (void)remora_conn_unref(pointer);
    break;
  }
  return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- events */

static remora_event *event_at(lua_State *L) { return lua_handle_check(L, 1, LUA_EVENT)->pointer; }

/* take(future or nil): an event that has to run in the wait for it, or any -> event or nil */
static int capi_take(lua_State *L) {
  remora_future *future = lua_isnoneornil(L, 1) ? NULL : future_at(L);
  lua_side *side = lua_side_of(L, KEPT);
  lua_handle *h = lua_handle_push(L, KEPT, LUA_EVENT, KEPT_EVENT);
  h->pointer = remora_take(side->queue, future);
  if (!h->pointer) lua_pushnil(L);
  return 1;
}

/* next_event(ms): sleeps until there is one -> event or nil */
static int capi_next_event(lua_State *L) {
  int64_t ms = integer_at(L, 1);
  lua_side *side = lua_side_of(L, KEPT);
  lua_handle *h = lua_handle_push(L, KEPT, LUA_EVENT, KEPT_EVENT);
  h->pointer = remora_next_event(side->queue, ms);
  if (!h->pointer) lua_pushnil(L);
  return 1;
}

/* event(event) -> CALL, target, method | OUTPUT, stream, data, address of the connection | READY, number | LOG, sink | REAP */
static int capi_event(lua_State *L) {
  remora_event *event = event_at(L);
  remora_event_kind kind = remora_event_type(event);
  lua_pushinteger(L, kind);
  size_t length = 0;
  const char *data;
  switch (kind) {
  case REMORA_EVENT_CALL:
    lua_push_lent(L, KEPT, remora_event_userdata(event));
    lua_pushstring(L, remora_event_method(event));
    return 3;
  case REMORA_EVENT_OUTPUT:
    lua_pushinteger(L, remora_event_stream(event));
    data = remora_event_data(event, &length);
    lua_pushlstring(L, data ? data : "", data ? length : 0);
    lua_pushlightuserdata(L, remora_event_conn(event));
    return 4;
  case REMORA_EVENT_READY:
    lua_pushnumber(L, (lua_Number)(uintptr_t)remora_event_userdata(event));
    return 2;
  case REMORA_EVENT_LOG:
    lua_pushinteger(L, (lua_Integer)remora_event_sink(event));
    return 2;
  case REMORA_EVENT_REAP:
    break;
  }
  return 1;
}

/* event_args(event) -> DONE, the arguments, keyword arguments as a last one; FAILED, error when they cannot be decoded (the call is then answered) */
static int capi_event_args(lua_State *L) {
  remora_event *event = event_at(L);
  lua_side *side = lua_side_of(L, KEPT);
  work w;
  work_begin(&w, L, lua_strings_of(side, remora_event_conn(event)));
  const remora_value *args = remora_event_args(event, &w.conv.bench->error);
  if (!args) return work_failed(&w);
  size_t count = remora_length(args);
  const remora_value *keywords = remora_keywords(args);
  if (count > 200000 || !lua_checkstack(L, (int)count + 8)) {
    w.conv.code = REMORA_E_VALUE;
    strcpy(w.conv.message, "too many arguments for a Lua function");
    return work_failed(&w);
  }
  for (size_t i = 0; i < count; i++)
    if (lua_from_value(&w.conv, remora_at(args, i)) != 0) return work_failed(&w);
  if (keywords && lua_from_value(&w.conv, keywords) != 0) return work_failed(&w);
  return work_end(&w, CALL_DONE, (int)count + (keywords != NULL));
}

static int capi_event_enter(lua_State *L) {
  remora_event_enter(event_at(L));
  return 0;
}

/* event_leave(event): calls made from here on do not descend from it; until event_enter. */
static int capi_event_leave(lua_State *L) {
  remora_event_done(event_at(L));
  return 0;
}

/* event_by_ref(event): whether a table that is the result is wanted as a reference */
static int capi_event_by_ref(lua_State *L) {
  lua_pushboolean(L, remora_event_by_ref(event_at(L)));
  return 1;
}

/* event_reply(event, value) -> DONE | FAILED, error (and the far side has it too) */
static int capi_event_reply(lua_State *L) {
  remora_event *event = event_at(L);
  lua_settop(L, 2);
  lua_side *side = lua_side_of(L, KEPT);
  work w;
  work_begin(&w, L, lua_strings_of(side, remora_event_conn(event)));
  if (lua_to_value(&w.conv, 2) != 0) return work_failed(&w);
  if (remora_event_reply(event, w.conv.bench->own[0], &w.conv.bench->error) != 0) return work_failed(&w);
  return work_end(&w, CALL_DONE, 0);
}

/* event_fail(event, code, message) or event_fail(event, details) */
static int capi_event_fail(lua_State *L) {
  remora_event *event = event_at(L);
  lua_settop(L, 3);
  work w;
  work_begin(&w, L, STRINGS_AUTO);
  remora_error *error = NULL;
  if (lua_istable(L, 2)) {
    if (lua_to_value(&w.conv, 2) == 0) error = remora_error_remote(w.conv.bench->own[--w.conv.bench->n]);
    if (!error) error = remora_error_new(REMORA_E_VALUE, "a Lua error whose details cannot be sent");
  } else {
    error = remora_error_new((int)luaL_checknumber(L, 2), luaL_checkstring(L, 3));
  }
  remora_event_fail(event, error);
  return work_end(&w, CALL_DONE, 0);
}

static int capi_reap(lua_State *L) {
  lua_reap(L, KEPT);
  return 0;
}

static int capi_queue_fd(lua_State *L) {
  lua_pushinteger(L, remora_queue_fd(queue_of(L)));
  return 1;
}

/* poll(ms): sleeps until the queue's descriptor is readable -> whether it is; runs nothing */
static int capi_poll(lua_State *L) {
  struct pollfd p = {.fd = remora_queue_fd(queue_of(L)), .events = POLLIN};
  lua_pushboolean(L, poll(&p, 1, (int)luaL_checknumber(L, 1)) > 0);
  return 1;
}

/* arm() -> whether there is something already */
static int capi_arm(lua_State *L) {
  remora_queue *queue = queue_of(L);
  eventfd_t rung; /* by us; the queue resets only what it has rung for itself */
  (void)eventfd_read(remora_queue_fd(queue), &rung);
  lua_pushboolean(L, remora_queue_arm(queue));
  return 1;
}

/* ring(): makes the queue's descriptor readable until the next arm() */
static int capi_ring(lua_State *L) {
  (void)eventfd_write(remora_queue_fd(queue_of(L)), 1);
  return 0;
}

/* ----------------------------------------------------------------------------------------------------------- connections */

/* connect(spec or nil, options) -> DONE, future | FAILED, error. options: those of remora.h, as they are there. */
static int capi_connect(lua_State *L) {
  const char *spec = luaL_optstring(L, 1, NULL);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  work w;
  work_begin(&w, L, STRINGS_TEXT);
  lua_bench *b = w.conv.bench;
  if (!(b->options = remora_options_new())) return luaL_error(L, "remora: out of memory");
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    if (lua_to_value(&w.conv, lua_gettop(L)) != 0) return work_failed(&w);
    if (remora_options_set(b->options, lua_tostring(L, -2), b->own[--b->n], &b->error) != 0) return work_failed(&w);
  }
  remora_options_set_queue(b->options, w.conv.side->queue);
  b->future = remora_connect_start(spec, b->options, &b->error);
  if (!b->future) return work_failed(&w);
  (void)push_future(&w);
  return work_end(&w, CALL_DONE, 1);
}

/* connection(future, strings) -> the connection of a connect that is done, and its address */
static int capi_connection(lua_State *L) {
  remora_future *future = future_at(L);
  lua_strings strings = (lua_strings)integer_at(L, 2);
  lua_side *side = lua_side_of(L, KEPT);
  lua_handle *h = lua_handle_push(L, KEPT, LUA_CONN, KEPT_CONN);
  h->strings = strings;
  h->pointer = remora_future_conn(future);
  if (!h->pointer) return luaL_error(L, "remora: a future without a connection");
  int i = 0;
  while (i < side->nmodes && side->modes[i].conn != h->pointer)
    i++; /* what was said of an earlier one at this address goes */
  if (i < side->nmodes) side->modes[i] = side->modes[--side->nmodes];
  if (strings != STRINGS_AUTO) {
    void *grown = realloc(side->modes, (size_t)(side->nmodes + 1) * sizeof *side->modes);
    if (!grown) return luaL_error(L, "remora: out of memory");
    side->modes = grown;
    side->modes[side->nmodes].conn = h->pointer;
    side->modes[side->nmodes++].strings = strings;
  }
  lua_pushlightuserdata(L, h->pointer);
  return 2;
}

/* ticket(connection, proxy or future) -> DONE, number | FAILED, error */
static int capi_ticket(lua_State *L) {
  lua_handle *conn = lua_handle_at(L, 1, LUA_CONN), *proxy = lua_handle_at(L, 1, LUA_PROXY);
  lua_handle *h = conn ? conn : proxy ? proxy : lua_handle_check(L, 1, LUA_FUTURE);
  if (!h->pointer) return luaL_error(L, "this was given back already");
  work w;
  work_begin(&w, L, h->strings);
  remora_error **err = &w.conv.bench->error;
  uint64_t number = conn    ? remora_ticket_conn(h->pointer, err)
                    : proxy ? remora_ticket_proxy(h->pointer, err)
                            : remora_ticket_future(h->pointer, err);
  if (!number) return work_failed(&w);
  lua_pushinteger(L, (lua_Integer)number);
  return work_end(&w, CALL_DONE, 1);
}

/* redeem(number) -> DONE, connection, proxy or future | FAILED, error */
static int capi_redeem(lua_State *L) {
  uint64_t number = (uint64_t)integer_at(L, 1);
  remora_ticket_kind kind = remora_ticket_is_for(number);
  work w;
  work_begin(&w, L, STRINGS_AUTO);
  remora_error **err = &w.conv.bench->error;
  if (kind == REMORA_TICKET_PROXY) {
    remora_proxy *proxy = remora_redeem_proxy(number, err);
    if (!proxy) return work_failed(&w);
    remora_value *value = remora_value_of_proxy(proxy); /* the bench owns it while Lua allocates */
    (void)remora_proxy_unref(proxy);
    if (!value) return work_failed(&w);
    w.conv.bench->own[w.conv.bench->n++] = value;
    if (lua_from_value(&w.conv, value) != 0) return work_failed(&w);
  } else if (kind == REMORA_TICKET_FUTURE) {
    w.conv.bench->future = remora_redeem_future(number, err);
    if (!w.conv.bench->future) return work_failed(&w);
    (void)push_future(&w);
  } else {
    lua_handle *h = lua_handle_push(L, KEPT, LUA_CONN, KEPT_CONN);
    h->strings = STRINGS_AUTO;
    h->pointer = remora_redeem_conn(number, err);
    if (!h->pointer) return lua_settop(L, lua_gettop(L) - 1), work_failed(&w);
  }
  return work_end(&w, CALL_DONE, 1);
}

/* root(connection) -> DONE, proxy | FAILED, error */
static int capi_root(lua_State *L) {
  lua_handle *conn = lua_handle_check(L, 1, LUA_CONN);
  lua_handle *h = lua_handle_push(L, KEPT, LUA_PROXY, KEPT_PROXY);
  int at = lua_gettop(L);
  work w;
  work_begin(&w, L, conn->strings);
  h->strings = conn->strings;
  h->pointer = remora_conn_root(conn->pointer, &w.conv.bench->error);
  if (!h->pointer) return work_failed(&w);
  lua_pushvalue(L, at);
  return work_end(&w, CALL_DONE, 1);
}

/* root_of(proxy) -> DONE, proxy of the root of its connection | FAILED, error */
static int capi_root_of(lua_State *L) {
  lua_handle *proxy = lua_handle_check(L, 1, LUA_PROXY);
  lua_handle *h = lua_handle_push(L, KEPT, LUA_PROXY, KEPT_PROXY);
  int at = lua_gettop(L);
  work w;
  work_begin(&w, L, proxy->strings);
  h->strings = proxy->strings;
  h->pointer = remora_conn_root(remora_proxy_conn(proxy->pointer), &w.conv.bench->error);
  if (!h->pointer) return work_failed(&w);
  lua_pushvalue(L, at);
  return work_end(&w, CALL_DONE, 1);
}

/* on_close(connection) -> DONE, future | FAILED, error */
static int capi_on_close(lua_State *L) {
  lua_handle *conn = lua_handle_check(L, 1, LUA_CONN);
  work w;
  work_begin(&w, L, conn->strings);
  w.conv.bench->future = remora_conn_on_close(conn->pointer, &w.conv.bench->error);
  if (!w.conv.bench->future) return work_failed(&w);
  (void)push_future(&w);
  return work_end(&w, CALL_DONE, 1);
}

/* transfer(connection, whether to the far side, from, to, options) -> DONE, future | FAILED, error */
static int capi_transfer(lua_State *L) {
  lua_handle *conn = lua_handle_check(L, 1, LUA_CONN);
  int up = lua_toboolean(L, 2);
  const char *from = luaL_checkstring(L, 3), *to = luaL_checkstring(L, 4);
  luaL_checktype(L, 5, LUA_TTABLE);
  lua_settop(L, 5);
  work w;
  work_begin(&w, L, conn->strings);
  lua_bench *b = w.conv.bench;
  if (lua_to_value(&w.conv, 5) != 0) return work_failed(&w);
  const remora_value *options = b->own[b->n - 1];
  b->future = up ? remora_upload(conn->pointer, from, to, options, &b->error)
                 : remora_download(conn->pointer, from, to, options, &b->error);
  if (!b->future) return work_failed(&w);
  (void)push_future(&w);
  return work_end(&w, CALL_DONE, 1);
}

/* hello(connection), stats(connection) -> DONE, table | FAILED, error */
static int push_map_of(lua_State *L, int stats) {
  lua_handle *conn = lua_handle_check(L, 1, LUA_CONN);
  work w;
  work_begin(&w, L, STRINGS_AUTO);
  const remora_value *value = stats ? NULL : remora_conn_hello(conn->pointer);
  if (stats) {
    w.conv.bench->own[w.conv.bench->n++] = remora_conn_stats(conn->pointer);
    value = w.conv.bench->own[0];
  }
  if (lua_from_value(&w.conv, value) != 0) return work_failed(&w);
  return work_end(&w, CALL_DONE, 1);
}
static int capi_hello(lua_State *L) { return push_map_of(L, 0); }
static int capi_stats(lua_State *L) { return push_map_of(L, 1); }

/* serve_name(connection or proxy, name): the far side may fetch that package */
static int capi_serve_name(lua_State *L) {
  lua_handle *h = lua_handle_at(L, 1, LUA_CONN);
  remora_conn *conn = h && h->pointer ? h->pointer : remora_proxy_conn(lua_handle_check(L, 1, LUA_PROXY)->pointer);
  remora_conn_serve(conn, luaL_checkstring(L, 2));
  return 0;
}

/* what(proxy) -> full name of its type, its words, name and pid of its connection */
static int capi_what(lua_State *L) {
  remora_proxy *proxy = lua_handle_check(L, 1, LUA_PROXY)->pointer;
  remora_conn *conn = remora_proxy_conn(proxy);
  lua_pushstring(L, remora_proxy_type(proxy));
  lua_pushstring(L, remora_proxy_traits(proxy));
  lua_pushstring(L, remora_conn_name(conn));
  lua_pushinteger(L, (lua_Integer)remora_conn_pid(conn));
  return 4;
}

/* ----------------------------------------------------------------------------------------------------------------- other */

/* handle_kind(x) -> "proxy", "future", "event", "connection" or nil */
static int capi_handle_kind(lua_State *L) {
  static const char *const names[] = {"", "proxy", "future", "event", "connection"};
  for (lua_kind kind = LUA_PROXY; kind <= LUA_CONN; kind++)
    if (lua_handle_at(L, 1, kind)) {
      lua_pushstring(L, names[kind]);
      return 1;
    }
  size_t length;
  if (lua_held_at(L, KEPT, KEPT_BYTES, 1, &length)) return lua_pushliteral(L, "bytes"), 1;
  if (lua_held_at(L, KEPT, KEPT_TEXT, 1, &length)) return lua_pushliteral(L, "text"), 1;
  return 0;
}

/* bytes(string), text(string) -> the userdata; held(userdata) -> its content, or nil */
static int push_held(lua_State *L, int which) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_push_held(L, KEPT, which, text, length);
  return 1;
}
static int capi_bytes(lua_State *L) { return push_held(L, KEPT_BYTES); }
static int capi_text(lua_State *L) { return push_held(L, KEPT_TEXT); }

static int capi_held(lua_State *L) {
  size_t length;
  const char *data = lua_held_at(L, KEPT, KEPT_BYTES, 1, &length);
  if (!data) data = lua_held_at(L, KEPT, KEPT_TEXT, 1, &length);
  if (!data) return 0;
  lua_pushlstring(L, data, length);
  return 1;
}

/* printable(string) -> the string, with "?" for what is not UTF-8 */
static int capi_printable(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  remora_value *value = remora_text(text, length);
  (void)remora_value_unref(value);
  lua_settop(L, 1);
  if (value) return 1;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < length; i++) luaL_addchar(&b, text[i] < 0 ? '?' : text[i]);
  luaL_pushresult(&b);
  return 1;
}

/* now() -> ms of a clock that is never set */
static int capi_now(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec * 1000 + (lua_Number)t.tv_nsec / 1e6);
  return 1;
}

/* log_sink(level, selections) -> number */
static int capi_log_sink(lua_State *L) {
  lua_side *side = lua_side_of(L, KEPT);
  int level = (int)integer_at(L, 1);
  const char *selections = luaL_checkstring(L, 2);
  void *grown = realloc(side->sinks, (size_t)(side->nsinks + 1) * sizeof *side->sinks);
  if (!grown) return luaL_error(L, "remora: out of memory");
  side->sinks = grown;
  uint64_t sink = remora_log_add_sink(side->queue, level, selections, NULL, NULL, NULL, NULL);
  if (!sink) return luaL_error(L, "remora: no sink could be made");
  side->sinks[side->nsinks++] = sink;
  lua_pushinteger(L, (lua_Integer)sink);
  return 1;
}

/* log_format(format, record) -> text */
static int capi_log_format(lua_State *L) {
  const char *format = luaL_checkstring(L, 1);
  work w;
  work_begin(&w, L, STRINGS_TEXT);
  lua_bench *b = w.conv.bench;
  if (lua_to_value(&w.conv, 2) != 0) return work_failed(&w);
  remora_value *text = remora_log_format(format, b->own[b->n - 1]);
  if (!text) return luaL_error(L, "remora: out of memory");
  b->own[b->n++] = text;
  if (lua_from_value(&w.conv, text) != 0) return work_failed(&w);
  return work_end(&w, CALL_DONE, 1);
}

/* process() -> host name, process id */
static int capi_process(lua_State *L) {
  char host[256] = "";
  (void)gethostname(host, sizeof host - 1);
  lua_pushstring(L, host);
  lua_pushinteger(L, (lua_Integer)getpid());
  return 2;
}

/* setup{words=, proxy=, future=, event=, connection=, bytes=, null=, list=, ...}: what Lua lends to C */
static int capi_setup(lua_State *L) {
  static const struct {
    const char *name;
    int slot;
  } slots[] = {{"words", KEPT_WORDS},     {"proxy", KEPT_PROXY}, {"future", KEPT_FUTURE}, {"event", KEPT_EVENT},
               {"connection", KEPT_CONN}, {"bytes", KEPT_BYTES}, {"null", KEPT_NULL},     {"list", KEPT_LIST},
               {"map", KEPT_MAP},         {"text", KEPT_TEXT},   {"big", KEPT_BIG},       {"ref", KEPT_REF},
               {"kw", KEPT_KW},           {"int64", KEPT_INT64}, {"uint64", KEPT_UINT64}, {"istype", KEPT_ISTYPE}};
  lua_side *side = lua_side_of(L, KEPT);
  const void *seen[KEPT_COUNT] = {NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
    lua_getfield(L, 1, slots[i].name);
    if (slots[i].slot < KEPT_INT64 && !lua_istable(L, -1)) return luaL_error(L, "setup: %s is no table", slots[i].name);
    seen[slots[i].slot] = lua_topointer(L, -1);
    lua_rawseti(L, KEPT, slots[i].slot);
  }
  side->null = seen[KEPT_NULL];
  side->list = seen[KEPT_LIST];
  side->map = seen[KEPT_MAP];
  side->big = seen[KEPT_BIG];
  side->ref = seen[KEPT_REF];
  side->kw = seen[KEPT_KW];
  side->has_int64 = seen[KEPT_INT64] != NULL;
  return 0;
}

static const luaL_Reg functions[] = {
    {"call", capi_call},
    {"start", capi_start},
    {"again", capi_again},
    {"result", capi_result},
    {"spin", capi_spin},
    {"wait_for", capi_wait_for},
    {"state", capi_state},
    {"cancel", capi_cancel},
    {"watch", capi_watch},
    {"release", handle_gc},
    {"take", capi_take},
    {"next_event", capi_next_event},
    {"event", capi_event},
    {"event_args", capi_event_args},
    {"event_enter", capi_event_enter},
    {"event_leave", capi_event_leave},
    {"event_by_ref", capi_event_by_ref},
    {"event_reply", capi_event_reply},
    {"event_fail", capi_event_fail},
    {"reap", capi_reap},
    {"queue_fd", capi_queue_fd},
    {"poll", capi_poll},
    {"arm", capi_arm},
    {"ring", capi_ring},
    {"connect", capi_connect},
    {"connection", capi_connection},
    {"ticket", capi_ticket},
    {"redeem", capi_redeem},
    {"root", capi_root},
    {"root_of", capi_root_of},
    {"on_close", capi_on_close},
    {"transfer", capi_transfer},
    {"hello", capi_hello},
    {"stats", capi_stats},
    {"serve_name", capi_serve_name},
    {"what", capi_what},
    {"handle_kind", capi_handle_kind},
    {"bytes", capi_bytes},
    {"text", capi_text},
    {"held", capi_held},
    {"printable", capi_printable},
    {"log_sink", capi_log_sink},
    {"log_format", capi_log_format},
    {"now", capi_now},
    {"process", capi_process},
    {"setup", capi_setup},
    {NULL, NULL},
};

/* At the end of the process, also after os.exit: one-way calls are sent, far processes end. No Lua runs any more. */
static void register_exit(void) { (void)atexit(remora_shutdown); }

void lua_types_init(lua_State *L, int module) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)lua_side_new(L);
  int kept = lua_gettop(L);
  (void)pthread_once(&once, register_exit);
  for (const luaL_Reg *f = functions; f->name; f++) {
    lua_pushstring(L, f->name);
    lua_pushvalue(L, kept);
    lua_pushcclosure(L, f->func, 1);
    lua_rawset(L, module); /* SWIG's table has a __newindex */
  }
  lua_settop(L, kept - 1);
}

remora_conn *lua_conn_at(lua_State *L, int index) { return lua_handle_check(L, index, LUA_CONN)->pointer; }
remora_proxy *lua_proxy_at(lua_State *L, int index) { return lua_handle_check(L, index, LUA_PROXY)->pointer; }
