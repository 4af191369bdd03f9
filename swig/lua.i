/* lua.i: what of remora.h Lua gets as it is: the table of errors, constants, and the small functions of connections. Values, calls, futures and events are in
 * lua_values.c and lua_types.c, which never let Lua raise over something that C owns. */
%module remora_capi

%{
#include "lua_types.h"
%}

/* Integers stay integers. */
%typemap(out) int, unsigned int, int64_t, uint32_t, uint64_t, size_t, remora_event_kind "lua_pushinteger(L, (lua_Integer)$1); SWIG_arg++;"

%typemap(in) remora_conn *, const remora_conn * "$1 = lua_conn_at(L, $input);"
%typemap(in) remora_proxy *, const remora_proxy * "$1 = lua_proxy_at(L, $input);"

/* The only wrapped function with an error is remora_module_add; nothing is owned when it raises. */
%typemap(argout) remora_error **err {
  if (error$argnum) {
    lua_pushstring(L, remora_error_message(error$argnum));
    (void)remora_error_free(error$argnum);
    SWIG_fail;
  }
}

/* Text and its length are one argument. */
%typemap(in) (const char *source, size_t length) "$1 = (char *)luaL_checklstring(L, $input, &$2);"

/* Done by lua_types.c. */
%ignore remora_options;
%ignore remora_options_new;
%ignore remora_options_set;
%ignore remora_options_set_queue;
%ignore remora_connect_start;
%ignore remora_future_conn;
%ignore remora_conn_hello;
%ignore remora_conn_on_close;
%ignore remora_conn_stats;
%ignore remora_conn_serve;
%ignore remora_conn_root;
%ignore remora_proxy_conn;
%ignore remora_start_with;
%ignore remora_run;
%ignore remora_upload;
%ignore remora_download;
%ignore remora_future_state;
%ignore remora_future_result;
%ignore remora_cancel;
%ignore remora_then;
%ignore remora_spin;
%ignore remora_wait_for;
%ignore remora_take;
%ignore remora_ticket_conn;
%ignore remora_ticket_proxy;
%ignore remora_ticket_future;
%ignore remora_ticket_is_for;
%ignore remora_redeem_conn;
%ignore remora_redeem_proxy;
%ignore remora_redeem_future;
%ignore remora_default_queue;
%ignore remora_queue;
%ignore remora_queue_new;
%ignore remora_queue_set_dispatcher;
%ignore remora_ticket_conn;
%ignore remora_ticket_proxy;
%ignore remora_ticket_future;
%ignore remora_ticket_is_for;
%ignore remora_redeem_conn;
%ignore remora_redeem_proxy;
%ignore remora_redeem_future;
%ignore remora_queue_fd;
%ignore remora_queue_arm;
%ignore remora_queue_reap;
%ignore remora_next_event;
%ignore remora_event;
%ignore remora_event_type;
%ignore remora_event_conn;
%ignore remora_event_object;
%ignore remora_event_method;
%ignore remora_event_args;
%ignore remora_event_future;
%ignore remora_event_userdata;
%ignore remora_event_stream;
%ignore remora_event_data;
%ignore remora_event_sink;
%ignore remora_log_format;
%ignore remora_event_enter;
%ignore remora_event_reply;
%ignore remora_event_fail;
%ignore remora_event_done;
%ignore remora_error;
%ignore remora_error_code;
%ignore remora_error_message;
%ignore remora_error_stage;
%ignore remora_error_details;
%ignore remora_error_type;
%ignore remora_error_traceback;
%ignore remora_error_new;
%ignore remora_error_remote;

%include "remora.i"

%init %{
  lua_types_init(L, lua_gettop(L));
%}
