/* ruby.i: how values, errors and handles of remora.h look in Ruby. Only typemaps; the C code behind them is in ruby_values.c (values, lent objects,
 * errors), ruby_types.c (Proxy, Call, Future and the waiting) and ruby_events.c (what the far side asks for). */
%module "remora::capi"

%{
#include "ruby_types.h"
#include "ruby_values.h"
%}

/* Classes of Ruby have large initials. */
%rename(Options) remora_options;
%rename(Conn) remora_conn;
%rename(Queue) remora_queue;
%rename(Event) remora_event;
%rename(ErrorHandle) remora_error;

/* ------------------------------------------------------------------------------------------------------------- values */

/* Not const: the function steals it. */
%typemap(in) remora_value * "$1 = ruby_value_new($input);"
%typemap(in) const remora_value * "$1 = ruby_value_new($input);"
%typemap(freearg) const remora_value * "remora_value_unref((remora_value *)$1);"
%typemap(out) const remora_value * "$result = ruby_from_value($1);" /* borrowed; NULL is nil */
%typemap(out) remora_value * "$result = ruby_take_value($1);"

/* Text is UTF-8; nil is NULL. */
%typemap(in) const char * "$1 = NIL_P($input) ? NULL : StringValueCStr($input);"
%typemap(freearg) const char * ""
%typemap(out) const char * "$result = $1 ? rb_utf8_str_new_cstr($1) : Qnil;"

/* Text and its length are one argument. */
%typemap(in) (const char *source, size_t length) {
  StringValue($input);
  $1 = RSTRING_PTR($input);
  $2 = (size_t)RSTRING_LEN($input);
}

/* Times in the C interface are milliseconds; the package above converts its seconds. */

/* ------------------------------------------------------------------------------------------------------------- errors */

/* Nothing that a call was given is left to be freed then. */
%typemap(argout) remora_error **err "if (error$argnum) ruby_raise(error$argnum);"

/* ------------------------------------------------------------------------------------------------------------ handles */

%typemap(in) remora_proxy * "$1 = ruby_proxy_handle($input);"
%typemap(in) const remora_proxy * "$1 = ruby_proxy_handle($input);"
%typemap(out) remora_proxy * {
  $result = $1 ? ruby_proxy_new($1) : Qnil;
  remora_proxy_unref($1);
}

%typemap(in) remora_future * "$1 = ruby_future_handle($input);"
%typemap(out) remora_future * "$result = $1 ? ruby_future_new($1) : Qnil;"

/* A borrowed connection becomes a handle of its own. */
%typemap(out) remora_conn *remora_proxy_conn "$result = SWIG_NewPointerObj(remora_conn_ref($1), $1_descriptor, SWIG_POINTER_OWN);"

/* remora_then(future, queue, callable): the callable is called without arguments by whoever runs the event. */
%typemap(in) (void (*fn)(remora_future *future, void *userdata), void *userdata, void (*destroy)(void *userdata)) {
  $1 = NULL;
  $2 = ruby_held_new($input);
  $3 = ruby_held_release;
}

/* Events are run in C (ruby_events.c). */
%ignore remora_event_by_ref;
%ignore remora_event_args;
%ignore remora_event_conn;
%ignore remora_event_data;
%ignore remora_event_done;
%ignore remora_event_enter;
%ignore remora_event_fail;
%ignore remora_event_future;
%ignore remora_event_method;
%ignore remora_event_object;
%ignore remora_event_reply;
%ignore remora_event_run;
%ignore remora_event_stream;
%ignore remora_event_sink;
%ignore remora_event_type;
%ignore remora_event_userdata;
%ignore remora_next_event;
%ignore remora_queue_reap;

/* Done by ruby_types.c and ruby_values.c. */
%ignore remora_start_with;
%ignore remora_spin;
%ignore remora_wait_for;
%ignore remora_take;
%ignore remora_cancel;
%ignore remora_future_state;
%ignore remora_future_result;
%ignore remora_conn_wait_closed;
%ignore remora_shutdown;
%ignore remora_error_new;
%ignore remora_error_remote;

/* By way of the root, and below. */
%ignore remora_run;
%ignore remora_upload;
%ignore remora_download;

%include "remora.i"

%inline %{
/* Which connection an output came from, as a number to look up; holding a handle would keep the connection open. */
static size_t conn_address(remora_conn *conn) { return (size_t)conn; }
/* A sink of the interpreter's queue, whose events are pulled. */
static uint64_t log_sink(int level, const char *selections, remora_error **err) {
  return remora_log_add_sink(ruby_queue(), level, selections, NULL, NULL, NULL, err);
}
static int wait_closed(remora_conn *conn, int64_t ms) { return ruby_wait_closed(conn, ms); }
/* Watches a future for the interpreter's queue. */
static int then_here(remora_future *future, void (*fn)(remora_future *future, void *userdata), void *userdata, void (*destroy)(void *userdata),
                     remora_error **err) {
  return remora_then(future, ruby_queue(), fn, userdata, destroy, err);
}
/* The options are stolen: what raises here leaves nothing behind. */
static remora_future *upload(remora_conn *conn, const char *local, const char *remote, remora_value *copying, remora_error **err) {
  remora_future *future = remora_upload(conn, local, remote, copying, err);
  (void)remora_value_unref(copying);
  return future;
}
static remora_future *download(remora_conn *conn, const char *remote, const char *local, remora_value *copying, remora_error **err) {
  remora_future *future = remora_download(conn, remote, local, copying, err);
  (void)remora_value_unref(copying);
  return future;
}
static void use_queue(remora_options *opts) { remora_options_set_queue(opts, ruby_queue()); }
%}

%init %{
  ruby_types_init(mCapi);
%}
