/* remora.i: what every language wraps. A language's file (python.i, ruby.i, lua.i) sets the module, its typemaps, and then includes this.
 *
 * The names stay those of remora.h: the idiomatic layer above hides them, and whoever reads it finds them in the manual. */

%include <stdint.i>

/* Values are converted whole by each language's typemaps, so nobody builds or walks them by hand. */
%ignore remora_kind;
%ignore remora_null;
%ignore remora_bool;
%ignore remora_int;
%ignore remora_bigint;
%ignore remora_float;
%ignore remora_text;
%ignore remora_str;
%ignore remora_bytes;
%ignore remora_bytes_view;
%ignore remora_list;
%ignore remora_tuple;
%ignore remora_map;
%ignore remora_value_of_proxy;
%ignore remora_value_of_object;
%ignore remora_append;
%ignore remora_put;
%ignore remora_set;
%ignore remora_set_keywords;
%ignore remora_value_kind;
%ignore remora_as_bool;
%ignore remora_as_int;
%ignore remora_as_float;
%ignore remora_as_text;
%ignore remora_length;
%ignore remora_at;
%ignore remora_key_at;
%ignore remora_get;
%ignore remora_keywords;
%ignore remora_as_proxy;
%ignore remora_as_object;
%ignore remora_value_equal;
%ignore remora_value_ref;
%ignore remora_value_unref;
%ignore remora_pack;
%ignore remora_unpack;
%ignore remora_value_call;
%ignore remora_by_ref;
%ignore remora_copy;

/* Functions that run code of C, or wait without letting the language run its own: for C programs. A language pulls events, and waits in two steps. */
%ignore remora_class;
%ignore remora_export;
%ignore remora_export_find;
%ignore remora_object_class;
%ignore remora_object_userdata;
%ignore remora_object_queue;
%ignore remora_serve;
%ignore remora_event_run;
%ignore remora_connect;
%ignore remora_new_on;
%ignore remora_can_on;
%ignore remora_open;
%ignore remora_call;
%ignore remora_start;
%ignore remora_await;
%ignore remora_await_all;
%ignore remora_await_any;
%ignore remora_any;
%ignore remora_compose;
%ignore remora_compose_fn;
%ignore remora_reject;
%ignore remora_event_defer;
%ignore remora_event_reply_with;
%ignore remora_log_add_sink;
%ignore remora_logf;

/* An argument `remora_error **err` is the wrapper's own; each language raises from it. */
%typemap(in, numinputs=0) remora_error **err (remora_error *error = NULL) "$1 = &error;"

/* A handle holds one reference and gives it back when the language drops it. */
%define REMORA_HANDLE(type, destroy)
%nodefaultctor type;
%ignore type##_ref;
%ignore type##_unref;
%ignore type##_free;
%enddef
REMORA_HANDLE(remora_options, remora_options_free)
REMORA_HANDLE(remora_conn, remora_conn_unref)
REMORA_HANDLE(remora_proxy, remora_proxy_unref)
REMORA_HANDLE(remora_future, remora_future_unref)
REMORA_HANDLE(remora_object, remora_object_unref)
REMORA_HANDLE(remora_queue, remora_queue_unref)
REMORA_HANDLE(remora_event, remora_event_free)
REMORA_HANDLE(remora_error, remora_error_free)

%newobject remora_error_new;
%newobject remora_error_remote;
%newobject remora_options_new;
%newobject remora_future_conn;
%newobject remora_queue_new;
%newobject remora_next_event;
%newobject remora_take;
%newobject remora_redeem_conn;
%newobject remora_redeem_proxy;
%newobject remora_redeem_future;

/* The receiver of an event's answer steals the error. */
%apply SWIGTYPE *DISOWN { remora_error *error };

%include "remora.h"

%define REMORA_DESTRUCTOR(type, destroy)
struct type {
  %extend {
    ~type() { destroy($self); }
  }
};
%enddef
REMORA_DESTRUCTOR(remora_options, remora_options_free)
REMORA_DESTRUCTOR(remora_conn, remora_conn_unref)
REMORA_DESTRUCTOR(remora_queue, remora_queue_unref)
REMORA_DESTRUCTOR(remora_event, remora_event_free)
REMORA_DESTRUCTOR(remora_error, remora_error_free)
