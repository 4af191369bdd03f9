/* remora.h: the C interface of Remora (REMote Objects, Run Anywhere). This header is the manual of the ABI.
 *
 * Call methods of objects and functions that live in another process or on another host:
 *
 *     remora_error *err = NULL;
 *     remora_conn  *c = remora_connect("deploy@web1", NULL, &err);
 *     remora_proxy *p = remora_new_on(c, "collections.Counter", args, &err);
 *     remora_value *v = remora_call(p, "most_common", NULL, &err);
 *
 * Ownership. Every function that returns a pointer says one of: *new* (the caller owns a reference and gives it back with the type's
 * _unref or _free), *borrowed* (valid as long as the thing it came from), and of an argument *steals* (the function takes the caller's
 * reference, also when it fails); arguments without a word are borrowed. Every _unref and _free accepts NULL and returns NULL.
 * Any order of dropping connections, proxies and futures is safe.
 *
 * Errors. A function that can fail takes `remora_error **err` as its last argument. On failure it returns NULL (or -1) and, if err is
 * not NULL, stores a *new* error there; *err is not touched on success. There is no errno and no thread-local last error.
 *
 * Times are milliseconds as int64_t; -1 means without limit, 0 means do not wait. Text is UTF-8, lone surrogates allowed as three bytes.
 *
 * Threads. Every function may be called from any thread, except that one remora_value is built by one thread, and one remora_event is answered by one thread.
 * User code (functions of a remora_class, remora_then) runs on threads that wait for or serve its queue and nowhere else.
 *
 * A good guest. The library installs no signal handlers, prints nothing unless REMORA_DEBUG is set, and marks every descriptor close-on-exec.
 * After fork() the child's old handles answer REMORA_E_FORKED; new connections work there.
 *
 * All of it exists since 0.1 unless a comment says otherwise. */
#ifndef REMORA_H
#define REMORA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REMORA_API __attribute__((visibility("default")))
#define REMORA_NEW __attribute__((warn_unused_result))
#else
#define REMORA_API
#define REMORA_NEW
#endif

#define REMORA_VERSION "0.1.0"
/* Rises with every incompatible change of this header; a binding compares it with remora_abi() when it is loaded. */
#define REMORA_ABI 1

/* "0.1.0", borrowed for ever: the release of the library that is loaded. */
REMORA_API const char *remora_version(void);
REMORA_API int remora_abi(void);

typedef struct remora_options remora_options; /* how to connect */
typedef struct remora_conn remora_conn;       /* a connection to a far process */
typedef struct remora_proxy remora_proxy;     /* an object or function over there */
typedef struct remora_future remora_future;   /* a result that will come */
typedef struct remora_value remora_value;     /* what crosses: null, numbers, text, bytes, lists, maps, references */
typedef struct remora_object remora_object;   /* an object or function of ours that can be lent */
typedef struct remora_queue remora_queue;     /* where user code of one owner runs */
typedef struct remora_event remora_event;     /* something that waits in a queue */
typedef struct remora_error remora_error;     /* why something failed */

/* ---------------------------------------------------------------------------------------------------------------- errors */

/* The one table of errors: XX(name, number, class in the languages, text). Every language makes its exceptions from it. */
#define REMORA_ERROR_MAP(XX)                                                                                           \
  XX(REMOTE, -1, "RemoteError", "the far code raised an error")                                                        \
  XX(CONNECT, -2, "ConnectError", "the connection could not be made")                                                  \
  XX(LOST, -3, "ConnectionLost", "the connection is gone")                                                             \
  XX(TIMEOUT, -4, "Timeout", "the time is up")                                                                         \
  XX(CANCELLED, -5, "Cancelled", "the call was cancelled")                                                             \
  XX(PROTOCOL, -6, "ProtocolError", "the far side does not follow the protocol")                                       \
  XX(OVERLOADED, -7, "Overloaded", "too much is waiting to be sent")                                                   \
  XX(VALUE, -8, "ValueNotSendable", "this value cannot cross")                                                         \
  XX(INVALID, -9, "InvalidArgument", "an argument is wrong")                                                           \
  XX(FORKED, -10, "ForkedError", "made before fork(); connect anew in the child")                                      \
  XX(NOMEM, -11, "OutOfMemory", "out of memory")                                                                       \
  XX(INTERRUPTED, -12, "Interrupted", "a signal came while waiting")                                                   \
  XX(DENIED, -13, "Denied", "not allowed to the far side")                                                             \
  XX(NOTFOUND, -14, "NotFound", "no such object, class, function or module")                                           \
  XX(FILE, -15, "FileError", "a file of this side cannot be read or written")

typedef enum remora_code {
  REMORA_OK = 0,
#define REMORA_XX(name, number, cls, text) REMORA_E_##name = number,
  REMORA_ERROR_MAP(REMORA_XX)
#undef REMORA_XX
      REMORA_CODE_FORCE_INT = 0x7fffffff
} remora_code;

/* The class name of a code ("Timeout"), or "Error" for a number that is not in the table; borrowed for ever. */
REMORA_API const char *remora_code_name(int code);
/* A short text for a code; borrowed for ever. */
REMORA_API const char *remora_code_text(int code);

REMORA_API int remora_error_code(const remora_error *err);
/* One line, never NULL; borrowed. */
REMORA_API const char *remora_error_message(const remora_error *err);
/* REMORA_E_CONNECT: the stage that failed: "spawn", "transport", "auth", "bootstrap" or "hello"; else NULL; borrowed. */
REMORA_API const char *remora_error_stage(const remora_error *err);
/* Of an error that comes from a far side: what docs/protocol.md section 6 calls its map (type, message, traceback, language, hops, cause, attributes). REMORA_E_FILE: a map of
 * errno and filename. Else NULL; borrowed. */
REMORA_API const remora_value *remora_error_details(const remora_error *err);
/* The class of the far exception ("ValueError"), or the code's class name; borrowed. */
REMORA_API const char *remora_error_type(const remora_error *err);
/* The far side's traceback, or NULL; borrowed. */
REMORA_API const char *remora_error_traceback(const remora_error *err);
/* *new*: an error made by the caller, to be raised over there by remora_event_fail or a remora_class. */
REMORA_API REMORA_NEW remora_error *remora_error_new(int code, const char *message);
/* *new*: the same with the map of section 6 (steals details). NULL if details is not a map with `type` and `message`. */
REMORA_API REMORA_NEW remora_error *remora_error_remote(remora_value *details);
REMORA_API remora_error *remora_error_free(remora_error *err);

/* ---------------------------------------------------------------------------------------------------------------- values */

typedef enum remora_kind {
  REMORA_NULL = 0,
  REMORA_BOOL,
  REMORA_INT,    /* int64_t */
  REMORA_BIGINT, /* beyond 64 bits: decimal text */
  REMORA_FLOAT,  /* double, NaN and infinities included */
  REMORA_TEXT,   /* UTF-8, may hold NUL */
  REMORA_BYTES,
  REMORA_LIST,
  REMORA_TUPLE, /* a list that its language fixes (Python's tuple); used like a list */
  REMORA_MAP,   /* ordered pairs; any key */
  REMORA_PROXY, /* an object of the far side */
  REMORA_OBJECT /* an object of ours */
} remora_kind;

/* Constructors return *new* values, NULL only when memory is out. A value is reference-counted (atomically) and must not change once it was passed to another function. */
REMORA_API REMORA_NEW remora_value *remora_null(void);
REMORA_API REMORA_NEW remora_value *remora_bool(int truth);
REMORA_API REMORA_NEW remora_value *remora_int(int64_t number);
/* decimal: optional '-', then digits without leading zeros. A number that fits in 64 bits becomes REMORA_INT. NULL if malformed. */
REMORA_API REMORA_NEW remora_value *remora_bigint(const char *decimal);
REMORA_API REMORA_NEW remora_value *remora_float(double number);
/* Copies. NULL if the text is not UTF-8 (lone surrogates allowed). */
REMORA_API REMORA_NEW remora_value *remora_text(const char *text, size_t length);
/* remora_text for a NUL-terminated string. */
REMORA_API REMORA_NEW remora_value *remora_str(const char *text);
/* Copies. */
REMORA_API REMORA_NEW remora_value *remora_bytes(const void *data, size_t length);
/* Does not copy: data must stay as it is until destroy(owner) is called, once, possibly on another thread. destroy may be NULL. */
REMORA_API REMORA_NEW remora_value *remora_bytes_view(const void *data, size_t length, void (*destroy)(void *owner),
                                                      void *owner);
REMORA_API REMORA_NEW remora_value *remora_list(void);
REMORA_API REMORA_NEW remora_value *remora_tuple(void);
REMORA_API REMORA_NEW remora_value *remora_map(void);
/* A value that refers to a proxy or object (takes a reference of its own). */
REMORA_API REMORA_NEW remora_value *remora_value_of_proxy(remora_proxy *proxy);
REMORA_API REMORA_NEW remora_value *remora_value_of_object(remora_object *object);

/* Appends to a list or tuple; *steals* item. 0, or -1 when list is none, item is NULL, or memory is out. */
REMORA_API int remora_append(remora_value *list, remora_value *item);
/* Appends a pair to a map; *steals* both. An equal key must not be there yet (not checked until it is sent). 0 or -1. */
REMORA_API int remora_put(remora_value *map, remora_value *key, remora_value *item);
/* remora_put with a text key; *steals* item. */
REMORA_API int remora_set(remora_value *map, const char *key, remora_value *item);
/* Makes `keywords` (a map with text keys; *steals*) the keyword arguments of the argument list `args`. 0 or -1. */
REMORA_API int remora_set_keywords(remora_value *args, remora_value *keywords);

REMORA_API remora_kind remora_value_kind(const remora_value *v);
REMORA_API int remora_as_bool(const remora_value *v);     /* 0 unless REMORA_BOOL that is true */
REMORA_API int64_t remora_as_int(const remora_value *v);  /* 0 unless REMORA_INT (or REMORA_BOOL) */
REMORA_API double remora_as_float(const remora_value *v); /* REMORA_FLOAT or REMORA_INT, else 0 */
/* REMORA_TEXT, REMORA_BYTES, REMORA_BIGINT: the bytes (NUL-terminated for text and bigint), *borrowed*; else NULL. length may be NULL. */
REMORA_API const char *remora_as_text(const remora_value *v, size_t *length);
/* Elements of a list or tuple, pairs of a map, else 0. */
REMORA_API size_t remora_length(const remora_value *v);
/* Element, or value of the pair, number i; *borrowed*; NULL out of range. */
REMORA_API const remora_value *remora_at(const remora_value *v, size_t i);
/* Key of pair number i of a map; *borrowed*; NULL out of range. */
REMORA_API const remora_value *remora_key_at(const remora_value *v, size_t i);
/* Value under a text key of a map; *borrowed*; NULL if there is none. */
REMORA_API const remora_value *remora_get(const remora_value *map, const char *key);
/* The keyword arguments of an argument list, or NULL; *borrowed*. */
REMORA_API const remora_value *remora_keywords(const remora_value *args);
/* *Borrowed*; NULL for other kinds. */
REMORA_API remora_proxy *remora_as_proxy(const remora_value *v);
REMORA_API remora_object *remora_as_object(const remora_value *v);
/* Deep comparison: same kinds, same contents; maps regardless of order; NaN equals NaN; references by identity. 1 or 0. */
REMORA_API int remora_value_equal(const remora_value *a, const remora_value *b);
REMORA_API remora_value *remora_value_ref(remora_value *v); /* returns v */
REMORA_API remora_value *remora_value_unref(remora_value *v);

/* Values by a format, in both directions. The format holds the elements of an argument list; with "=" before it one value of any kind.
 *
 *     remora_value *args = remora_pack(&err, "s i [d d] k{s:b}", "point", 7, 0.5, 1.5, "visible", 1);
 *     if (remora_unpack(result, &err, "={s:s, s:[i *]}", "name", &name, "marks", &first_mark) != 0) ...
 *
 *   letter   packs                                        unpacks, into what is passed
 *   n        null                                         null, into nothing
 *   b        int                                          boolean: int *
 *   i  I     int; int64_t                                 integer: int * (it has to fit); int64_t *
 *   d        double                                       float or integer: double *
 *   D        const char *: decimal digits                 an integer beyond 64 bits: const char **
 *   s        const char *: text                           text without NUL: const char **
 *   s%       const char *, size_t: text                   text: const char **, size_t *
 *   y        const void *, size_t: bytes                  bytes: const void **, size_t *
 *   p  o     remora_proxy *; remora_object *              the same: remora_proxy **; remora_object **
 *   v  V     remora_value *; the same, *stolen*           any value: const remora_value **; remora_value **, *new*
 *   [...]    a list of these                              the elements of a list or tuple
 *   (...)    a tuple of these
 *   {...}    a map: key, item, key, item, ...             items of a map: s (const char *, the key), item, ...; s? need not be there
 *   k{...}   keyword arguments, last of all               the same
 *   ?        behind s, s%, y, p, o, v, V: NULL is null    behind a letter: null leaves the target as it is
 *   |                                                     in a list: what follows may be missing
 *   *                                                     in a list: more may follow
 *
 * Blanks, commas and colons are for the reader. What is unpacked without *new* is *borrowed* from the value. */
/* *new*: NULL with REMORA_E_INVALID for a wrong format or a NULL without "?", REMORA_E_VALUE for text that is not UTF-8. Values for V are stolen also
 * then, except those behind a letter that is no letter. */
REMORA_API REMORA_NEW remora_value *remora_pack(remora_error **err, const char *format, ...);
/* 0; -1 with REMORA_E_INVALID, which names the place ("argument 2, key \"a\": ..."): then no target was touched. */
REMORA_API int remora_unpack(const remora_value *value, remora_error **err, const char *format, ...);

/* ----------------------------------------------------------------------------------------------------------- connections */

REMORA_API REMORA_NEW remora_options *remora_options_new(void);
/* Sets one option; *steals* value. -1 and an error that lists what is known for an unknown name or a value of the wrong kind.
 *
 *   node         text   the far side's language: "python", "ruby", "lua", "perl", "c"; "object-remote": a Perl process of Object::Remote
 *   timeout      int    ms until the connection must stand (10000)
 *   heartbeat    int    ms; how soon a silent side must give a sign of life (5000); 0 turns it off
 *   dead_after   int    ms of silence after which the far side is given up (30000)
 *   interpreter  text or list of text: path or whole argv of the far interpreter; else REMORA_PYTHON (and its like), else "python3"
 *   env          map    text to text, added to the far environment
 *   cwd          text   the far process's directory
 *   command      list   argv of any program that carries stdin and stdout; the far interpreter's argv is appended
 *   hops         list   specs (text, or a list that is a command) from near to far; use with spec NULL
 *   ssh          list   the ssh client's argv (["ssh"])
 *   ssh_options  list   further options for ssh, before the host
 *   sudo         list   the sudo program's argv (["sudo"])
 *   modules      list of text, or the text "all": further top-level packages that the far side may fetch
 *   deny         list   names of packages and modules that are never served, whatever else allows them, with all below them
 *   roots        list   directories where modules for the far side are looked for, in order; or a map of languages to such lists. Else what
 *                       the language's own variable names (PYTHONPATH, RUBYLIB, LUA_PATH, PERL5LIB, REMORA_C_PATH), then "lib" and "."
 *   language     text   what this side speaks, e.g. "python 3.11.2" (for messages about versions)
 *   max_message  int    bytes of the longest message (268435456)
 *   limits       map    what the far process may use, text to int: memory (bytes of address space), cpu (seconds), files (open at a time), processes (of the
 *                       user), file_size, core (bytes); its children each get the same. An end that fits a limit is told so in the error
 *   nice         int    added to the far process's (0)
 *   watchdog     int    ms; the far process ends itself when it has heard nothing from here for so long (0: never); this side then speaks
 *                       three times in that time, whatever its threads do
 *   onward       bool   the far side may have connections made from here, behind the hops of its own (false)
 *   on_prompt    object that is called with each question of ssh and sudo, a map of kind, text, conn, hop, attempt and from, and returns text, a bool or null
 *                       (docs/prompts.md), on its queue; or false: nobody is asked. Else the terminal of this process, if it has one and is in its foreground.
 *                       `timeout` does not run while a question is open, which may be for five minutes. What is returned is wiped
 *   log_forward  bool   the far side's log records come here (false, or REMORA_LOG_FORWARDING=1); of them only
 *   log_level    text   those of this level and above: "debug", ... (REMORA_LOG_LEVEL, or "info"),
 *   log_selections text those of these names (REMORA_LOG_SELECTIONS, or "*"), and
 *   log_budget   int    so many bytes a second (262144); what is more is counted and not sent
 *   queue        set with remora_options_set_queue */
REMORA_API int remora_options_set(remora_options *opts, const char *name, remora_value *value, remora_error **err);
/* Where output and other events of the connection go; the default is remora_default_queue(). Keeps a reference. */
REMORA_API void remora_options_set_queue(remora_options *opts, remora_queue *queue);
REMORA_API remora_options *remora_options_free(remora_options *opts);

/* Connects and waits until the far side is there. *new*. spec: "-" a child; "user@" sudo; "host", "user@host", "ssh://user@host:port"
 * ssh; NULL with the options hops or command. opts may be NULL; it is not kept. */
REMORA_API REMORA_NEW remora_conn *remora_connect(const char *spec, const remora_options *opts, remora_error **err);
/* Starts to connect. *new*: a future whose value is null and whose connection is remora_future_conn(). */
REMORA_API REMORA_NEW remora_future *remora_connect_start(const char *spec, const remora_options *opts,
                                                          remora_error **err);
REMORA_API REMORA_NEW remora_conn *remora_future_conn(remora_future *future); /* *new*, or NULL */
/* Fails every waiting call with REMORA_E_LOST, sends what was queued for at most a second, ends the far process. Returns at once. */
REMORA_API void remora_conn_close(remora_conn *conn);
/* Waits until the far process of a closed connection is gone (killed in the end): 0, or -1 when the time is up. */
REMORA_API int remora_conn_wait_closed(remora_conn *conn, int64_t ms);
REMORA_API int remora_conn_is_valid(const remora_conn *conn); /* 1 while calls can be made */
REMORA_API int64_t remora_conn_pid(const remora_conn *conn);  /* of the far process, on its host */
/* What it was connected to, for messages ("deploy@web1", "- > root@"); *borrowed*. */
REMORA_API const char *remora_conn_name(const remora_conn *conn);
/* What the far side's HELLO said, a map; *borrowed*; NULL before it came. */
REMORA_API const remora_value *remora_conn_hello(const remora_conn *conn);
/* *new*: a future that fails with the reason (REMORA_E_LOST) when the connection ends, or yields null when it was closed from here. */
REMORA_API REMORA_NEW remora_future *remora_conn_on_close(remora_conn *conn, remora_error **err);
/* Counters, a map: calls_out, calls_in, bytes_out, bytes_in, exports, imports, pending, queued (bytes), log_records, log_dropped; *new*. */
REMORA_API REMORA_NEW remora_value *remora_conn_stats(remora_conn *conn);
/* Lets the far side fetch the package that the dotted name begins with. new_on and can_on do it by themselves. */
REMORA_API void remora_conn_serve(remora_conn *conn, const char *name);
REMORA_API remora_conn *remora_conn_ref(remora_conn *conn);
/* A connection whose last reference went, and from which no proxy or pending future is left, closes. */
REMORA_API remora_conn *remora_conn_unref(remora_conn *conn);

/* Gives the far sides of all connections a module that is in no file. Replaces an earlier one of that name. 0 or -1. */
REMORA_API int remora_module_add(const char *language, const char *name, int is_package, const char *path,
                                 const char *source, size_t length, remora_error **err);

/* --------------------------------------------------------------------------------------------------------------- proxies */

/* Makes an object of the far class `name` ("pkg.mod.Class" or "pkg.mod:Class.Inner"). args: a list, or NULL for none. *new*. REMORA_E_INVALID for a conn that is NULL. */
REMORA_API REMORA_NEW remora_proxy *remora_new_on(remora_conn *conn, const char *name, const remora_value *args,
                                                  remora_error **err);
/* A far function (or anything that a name leads to). *new*; NULL with *err untouched when there is no such thing. */
REMORA_API REMORA_NEW remora_proxy *remora_can_on(remora_conn *conn, const char *name, remora_error **err);
/* The far side's root, whose methods are those of docs/protocol.md 5.2 and further ones of the node. *new*. */
REMORA_API REMORA_NEW remora_proxy *remora_conn_root(remora_conn *conn, remora_error **err);
REMORA_API remora_conn *remora_proxy_conn(const remora_proxy *proxy); /* *borrowed* */
REMORA_API uint64_t remora_proxy_id(const remora_proxy *proxy);
/* The full name of the far type, and the words of docs/protocol.md section 5 separated by blanks; *borrowed*. */
REMORA_API const char *remora_proxy_type(const remora_proxy *proxy);
REMORA_API const char *remora_proxy_traits(const remora_proxy *proxy);
/* The same number for two proxies of one connection whose far types are the same. */
REMORA_API uint32_t remora_proxy_type_id(const remora_proxy *proxy);
REMORA_API remora_proxy *remora_proxy_ref(remora_proxy *proxy);
/* Never sends and never blocks, so it may be called from a finaliser. */
REMORA_API remora_proxy *remora_proxy_unref(remora_proxy *proxy);

/* ----------------------------------------------------------------------------------------------------- calls and futures */

/* Calls and waits. method NULL or "": the thing itself. args: a list, or NULL for none. *new*. Incoming calls for the default queue that belong to this
 * call (and, as that queue has no dispatcher, any other) run meanwhile on this thread. */
REMORA_API REMORA_NEW remora_value *remora_call(remora_proxy *proxy, const char *method, const remora_value *args,
                                                remora_error **err);
/* Calls what a value refers to: a proxy as remora_call does; an object of ours of the default queue by its class, right here. *new*. REMORA_E_INVALID for other values. */
REMORA_API REMORA_NEW remora_value *remora_value_call(const remora_value *callee, const char *method,
                                                      const remora_value *args, remora_error **err);
/* Sends the call and returns. *new*. Waits only when the connection's credit is used up (see REMORA_NOWAIT), and then runs events of the default queue unless
 * that has a dispatcher. */
REMORA_API REMORA_NEW remora_future *remora_start(remora_proxy *proxy, const char *method, const remora_value *args,
                                                  remora_error **err);

#define REMORA_ONEWAY 1u  /* no answer is wanted; the future is ready at once */
#define REMORA_NOWAIT 2u  /* REMORA_E_OVERLOADED instead of waiting for credit */
#define REMORA_AWAITED 4u /* this thread waits for it next: what is called back meanwhile is left to that wait */
#define REMORA_BYREF 8u   /* a list or map that is the result stays there and comes as a proxy */
/* remora_start with everything. timeout_ms: the call fails with REMORA_E_TIMEOUT after that; travels with the call. */
REMORA_API REMORA_NEW remora_future *remora_start_with(remora_proxy *proxy, const char *method,
                                                       const remora_value *args, int64_t timeout_ms, unsigned flags,
                                                       remora_error **err);

typedef enum remora_state { REMORA_PENDING = 0, REMORA_DONE, REMORA_FAILED, REMORA_WAS_CANCELLED } remora_state;
/* Looks, without waiting, whether something has arrived. */
REMORA_API remora_state remora_future_state(remora_future *future);
/* Waits. *new* value. REMORA_E_TIMEOUT when ms are up (the future stays pending), else the future's own error. */
REMORA_API REMORA_NEW remora_value *remora_await(remora_future *future, int64_t ms, remora_error **err);
/* Waits until all n are ready: 0; -1 with REMORA_E_TIMEOUT or REMORA_E_INTERRUPTED. Errors of the futures themselves are left in them. */
REMORA_API int remora_await_all(remora_future *const *futures, size_t n, int64_t ms, remora_error **err);
/* The value of a future that is REMORA_DONE; *new*. Else NULL with the future's error (REMORA_E_TIMEOUT if still pending). */
REMORA_API REMORA_NEW remora_value *remora_future_result(remora_future *future, remora_error **err);
/* Fails the future with REMORA_E_CANCELLED and tells the far side. 1, or 0 when it was ready already. */
REMORA_API int remora_cancel(remora_future *future);
/* When the future is ready, an event REMORA_EVENT_READY goes to the queue (default queue if NULL); remora_serve runs fn(future,
 * userdata), a language pulls the event. destroy(userdata) is called once, afterwards or when it never comes. Any number of times. 0 or -1. */
REMORA_API int remora_then(remora_future *future, remora_queue *queue,
                           void (*fn)(remora_future *future, void *userdata), void *userdata,
                           void (*destroy)(void *userdata), remora_error **err);
/* A future that the program settles itself. *new*. A call that goes on elsewhere can be answered by it, and it can be waited for as any other. */
REMORA_API REMORA_NEW remora_future *remora_promise(remora_error **err);
/* Settles one; *steals* value or error. 1, or 0 when it was ready already. */
REMORA_API int remora_resolve(remora_future *promise, remora_value *value);
REMORA_API int remora_reject(remora_future *promise, remora_error *error);
/* Makes the next future of a finished one: *new*, its outcome becomes that of the composed future; or NULL, with *err or, for null, without. */
typedef remora_future *remora_compose_fn(remora_future *before, void *userdata, remora_error **err);
/* A future of what on_value makes of this one when it is REMORA_DONE, and on_error otherwise; where one is NULL, the outcome passes as it is. The function runs once,
 * where remora_then's would. A cancel goes on to the future that is still pending. destroy(userdata) is called once (not when it fails). *new*. */
REMORA_API REMORA_NEW remora_future *remora_compose(remora_future *future, remora_queue *queue,
                                                    remora_compose_fn *on_value, remora_compose_fn *on_error,
                                                    void *userdata, void (*destroy)(void *userdata),
                                                    remora_error **err);
/* A future of the index of the first of them that is ready, whatever its outcome. *new*. */
REMORA_API REMORA_NEW remora_future *remora_any(remora_future *const *futures, size_t n, remora_error **err);
/* Waits until one is ready: its index; -1 with REMORA_E_TIMEOUT or REMORA_E_INTERRUPTED. Errors of the futures themselves are left in them. */
REMORA_API int remora_await_any(remora_future *const *futures, size_t n, int64_t ms, remora_error **err);
REMORA_API remora_future *remora_future_ref(remora_future *future);
/* The last reference of a pending future goes: nobody waits for the result; it is thrown away when it comes. */
REMORA_API remora_future *remora_future_unref(remora_future *future);

/* ------------------------------------------------------------------------------------------------------ commands and files */

/* Starts a program over there. argv: a list of text; options: a map as in docs/protocol.md section 5.3 (input, output, cwd, env, timeout in ms), or NULL.
 * *new*: a future of the map {pid, status, signal, stdout, stderr}; to cancel it ends the command. */
REMORA_API REMORA_NEW remora_future *remora_run(remora_conn *conn, const remora_value *argv,
                                                const remora_value *options, remora_error **err);
/* Copies a file of this side to the far one, and back, in constant memory. *new*: a future of the map {bytes}. To cancel it ends the copying and removes what there is of the
 * new file. What fails on this side is a REMORA_E_FILE. A thread of the library reads and writes the file. options: a map, or NULL:
 *
 *   atomic  bool         the new file stands beside the old one until it is complete, then replaces it (true)
 *   mode    bool or int  whether it gets the permissions of what it was copied from (true); or which (0644)
 *   times   bool         whether it gets its times (true)
 *   sync    bool         whether it has to be on disk before it counts as copied (false) */
REMORA_API REMORA_NEW remora_future *remora_upload(remora_conn *conn, const char *local, const char *remote,
                                                   const remora_value *options, remora_error **err);
REMORA_API REMORA_NEW remora_future *remora_download(remora_conn *conn, const char *remote, const char *local,
                                                     const remora_value *options, remora_error **err);
/* Opens a far file: mode "r", "w", "a", "x" or "r+", options (or NULL) and the proxy's methods (read, write, seek, close, ...) as in docs/protocol.md section 5.4. *new*. */
REMORA_API REMORA_NEW remora_proxy *remora_open(remora_conn *conn, const char *path, const char *mode,
                                                const remora_value *options, remora_error **err);

/* --------------------------------------------------------------------------------------------- lending objects; callbacks */

typedef struct remora_class {
  size_t size;        /* sizeof(remora_class) */
  const char *name;   /* the type's full name over there */
  const char *traits; /* words of docs/protocol.md section 5: "call", "len item", ...; may be NULL */
  /* Runs a method (or operation). args is a list, *borrowed*. Returns a *new* value (NULL with *err untouched: null), or sets *err. */
  remora_value *(*call)(void *userdata, const char *method, const remora_value *args, remora_error **err);
} remora_class;

/* Makes an object of userdata that can be passed to far sides by remora_value_of_object. Its calls run on `queue` (default queue if NULL). cls and what it points to
 * must live as long as the object. destroy(userdata) (may be NULL) runs once, inside remora_serve or remora_queue_reap, when neither side uses it any more. *new*. */
REMORA_API REMORA_NEW remora_object *remora_export(remora_queue *queue, const remora_class *cls, void *userdata,
                                                   void (*destroy)(void *userdata));
/* The living object made of the same class and userdata for this queue; *new*; NULL if there is none. The same object has one identity over there. */
REMORA_API REMORA_NEW remora_object *remora_export_find(remora_queue *queue, const remora_class *cls,
                                                        const void *userdata);
REMORA_API void *remora_object_userdata(const remora_object *object);
REMORA_API const remora_class *remora_object_class(const remora_object *object);
REMORA_API remora_queue *remora_object_queue(const remora_object *object); /* *borrowed* */
REMORA_API remora_object *remora_object_ref(remora_object *object);
REMORA_API remora_object *remora_object_unref(remora_object *object);

/* A list, tuple or map (*steals*) as something that is lent instead of copied: far sides use and change it as a container of theirs. Of the default queue; *new*. Here it
 * is used by remora_value_call(value, ":item", ...) and the other operations of docs/protocol.md 5.1. Other values are returned as they are; NULL when memory is out. */
REMORA_API REMORA_NEW remora_value *remora_by_ref(remora_value *value);
/* What is in a container that is there by reference: a far one (one round trip), or one of remora_by_ref. *new*. */
REMORA_API REMORA_NEW remora_value *remora_copy(const remora_value *reference, remora_error **err);

/* ---------------------------------------------------------------------------------------------------------------- queues */

/* The queue of C code that names none; *borrowed* for ever. */
REMORA_API remora_queue *remora_default_queue(void);
REMORA_API REMORA_NEW remora_queue *remora_queue_new(void);
REMORA_API remora_queue *remora_queue_ref(remora_queue *queue);
REMORA_API remora_queue *remora_queue_unref(remora_queue *queue);
/* Says that a thread of the owner sits in remora_next_event for as long as the queue lives. Waits then run only what belongs to their call. */
REMORA_API void remora_queue_set_dispatcher(remora_queue *queue, int on);
/* A descriptor that is readable when the queue may hold an event; for poll, epoll, asyncio. Constant; the library's own, never to be closed or read. *borrowed* */
REMORA_API int remora_queue_fd(remora_queue *queue);
/* Arms the descriptor: from now on it becomes readable with the next event or with the readiness of a future that remora_then watches. Call again
 * after each pull that found nothing. 1 if an event is there already. */
REMORA_API int remora_queue_arm(remora_queue *queue);

typedef enum remora_event_kind {
  REMORA_EVENT_CALL = 1, /* somebody over there calls an object of ours */
  REMORA_EVENT_OUTPUT,   /* far code printed something */
  REMORA_EVENT_READY,    /* a future that remora_then watches is ready */
  REMORA_EVENT_REAP,     /* objects wait for remora_queue_reap */
  REMORA_EVENT_LOG       /* log records for a sink */
} remora_event_kind;

/* The next event; waits for it. *new*; NULL when the time is up or a signal came. */
REMORA_API REMORA_NEW remora_event *remora_next_event(remora_queue *queue, int64_t ms);
/* Runs events with remora_event_run until the time is up or a signal came: how many. ms 0 runs what is there. */
REMORA_API int remora_serve(remora_queue *queue, int64_t ms);
/* Runs the destroy functions of objects of this queue that are gone: how many. */
REMORA_API int remora_queue_reap(remora_queue *queue);

REMORA_API remora_event_kind remora_event_type(const remora_event *event);
REMORA_API remora_conn *remora_event_conn(const remora_event *event);     /* *borrowed*; may be NULL */
REMORA_API remora_object *remora_event_object(const remora_event *event); /* CALL; *borrowed* */
REMORA_API const char *remora_event_method(const remora_event *event);    /* CALL; *borrowed* */
/* LOG: the list of records; *borrowed*. CALL: the argument list; *borrowed*; NULL with an error when it cannot be decoded (the event is then answered). */
REMORA_API const remora_value *remora_event_args(remora_event *event, remora_error **err);
/* CALL: the caller wants a reference where the result is a list or map. remora_event_reply sees to it for events of the default queue. */
REMORA_API int remora_event_by_ref(const remora_event *event);
REMORA_API remora_future *remora_event_future(const remora_event *event); /* READY; *borrowed* */
REMORA_API void *remora_event_userdata(const remora_event *event); /* READY: of remora_then; CALL: of the object */
REMORA_API int remora_event_stream(const remora_event *event);     /* OUTPUT: 1 or 2 */
REMORA_API uint64_t remora_event_sink(const remora_event *event);  /* LOG: the number of the sink; else 0 */
REMORA_API const char *remora_event_data(const remora_event *event, size_t *length); /* OUTPUT; *borrowed* */
/* From here to the answer, calls that this thread makes descend from the event's call. */
REMORA_API void remora_event_enter(remora_event *event);
/* The call of the far side that this thread runs, as a number; 0 when it runs none. Whoever goes on with it on another thread gives the number to that one: what is called from
 * there then descends from it too, and a far side that waits for the answer serves it. */
REMORA_API uint64_t remora_chain(void);
/* From here on calls that this thread makes descend from that call; of none with 0. For a thread that the library does not call. */
REMORA_API void remora_chain_enter(uint64_t chain);
/* Answers a CALL. 0; -1 with an error when the value cannot be sent (the far side then gets that error). */
REMORA_API int remora_event_reply(remora_event *event, const remora_value *value, remora_error **err);
/* Answers a CALL with an error; *steals* error. */
REMORA_API void remora_event_fail(remora_event *event, remora_error *error);
/* In a function of a remora_class: the call that runs is to be answered later. What the function returns is not sent; who has the event answers it, on any thread. *new*;
 * NULL when no call runs here or it was taken already. Other calls run meanwhile. */
REMORA_API REMORA_NEW remora_event *remora_event_defer(void);
/* Answers a CALL with the outcome of a future, when that is ready. *Steals* event, which may be NULL. */
REMORA_API void remora_event_reply_with(remora_event *event, remora_future *future);
/* Does what C code does with an event: calls the class's function and answers, calls the function of remora_then; output goes to nobody. */
REMORA_API void remora_event_run(remora_event *event);
/* Says, on the thread that took it, that the event has been dealt with; a result waits until the output before it is. remora_event_free does it too; a
 * language whose objects may outlive their use says it here. More than once is harmless. */
REMORA_API void remora_event_done(remora_event *event);
/* A CALL that was not answered is answered with an error. */
REMORA_API remora_event *remora_event_free(remora_event *event);

/* --------------------------------------------------------------------------------------------------------------- logging */

/* Log records of this process, of the library itself (names that begin with "remora.") and, with the option log_forward, of far sides go to whoever wants
 * them: sinks, and standard error when REMORA_LOG_LEVEL is set or remora_log_print was called. A record is a map: level ("info"), name (of a logger, package or
 * part), message, time (seconds since 1970, a float), function, file, line, pid, host, exporter (the logging interface it came through), connection (the name of
 * the one it came over; null for ours) and connection_id; hops (a list) when it came from behind that far side; dropped (a number) when it tells that records are
 * missing. What is not known is null. docs/logging.md has the whole. */
typedef enum remora_log_level {
  REMORA_LOG_TRACE = 1,
  REMORA_LOG_DEBUG,
  REMORA_LOG_VERBOSE,
  REMORA_LOG_INFO,
  REMORA_LOG_WARN,
  REMORA_LOG_ERROR,
  REMORA_LOG_FATAL
} remora_log_level;

/* "info", or "?"; borrowed for ever. */
REMORA_API const char *remora_log_level_name(int level);
/* The level of that name; 0 if there is none. */
REMORA_API int remora_log_level_of(const char *name);
/* Whether anybody would get a record of that level and name; cheap when nobody listens at all. */
REMORA_API int remora_log_wants(int level, const char *name);
/* Logs. function and file may be NULL, line 0. Never blocks; costs a comparison when nobody listens. */
REMORA_API void remora_log(int level, const char *name, const char *message, const char *function, const char *file,
                           int line);
/* The same by a format of printf, which is made into text only when somebody wants it: REMORA_LOG(REMORA_LOG_INFO, "app.db", "%d rows", n); */
REMORA_API void remora_logf(int level, const char *name, const char *function, const char *file, int line,
                            const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 6, 7)))
#endif
    ;
#define REMORA_LOG(level, name, ...) remora_logf(level, name, __func__, __FILE__, __LINE__, __VA_ARGS__)

/* From now on records of at least that level (0: all) whose name is selected go to fn(record, userdata), which runs on the queue (default queue if NULL) like any
 * other event; a binding passes fn NULL and pulls REMORA_EVENT_LOG. selections: words between blanks, each a name that stands for itself and all below it
 * ("app": app, app.db, app::db) or "*" for all; with "-" in front not these; the longest word that fits decides. NULL is "*". At most a MiB of
 * records waits in a sink; what is more is dropped, counted, and told by a record. destroy(userdata) is called once. The sink's number; 0 with *err. */
REMORA_API uint64_t remora_log_add_sink(remora_queue *queue, int level, const char *selections,
                                        void (*fn)(const remora_value *record, void *userdata), void *userdata,
                                        void (*destroy)(void *userdata), remora_error **err);
/* What still waits for it is dropped with it; a fn that runs on another thread ends its batch. 1, or 0: there is no such sink. */
REMORA_API int remora_log_remove_sink(uint64_t sink);
/* How many records the sink was too slow for. */
REMORA_API uint64_t remora_log_dropped(uint64_t sink);
/* Prints records on standard error as remora_log_format makes them (format NULL: "[%l %r] %s"); level 0 ends it. Replaces what REMORA_LOG_LEVEL,
 * REMORA_LOG_SELECTIONS and REMORA_LOG_FORMAT said. Nothing waits for who reads there: what does not fit is counted. 0 or -1. */
REMORA_API int remora_log_print(int level, const char *selections, const char *format, remora_error **err);
/* *new* text: a record by a format. %l level, %s message, %t local time, %r "local" or "remote #3 web1", %c exporter, %p name, %m function or "(none)",
 * %f file, %i line, %h host, %P process id, %% and %n (a newline); anything else, and what is not known, is "(undefined)". Lines behind the first
 * begin with a blank. */
REMORA_API REMORA_NEW remora_value *remora_log_format(const char *format, const remora_value *record);

/* ---------------------------------------------------------------------------------- for bindings: waiting in two steps */

typedef enum remora_wait {
  REMORA_WAIT_READY = 0, /* the future is ready */
  REMORA_WAIT_EVENT,     /* remora_take has something that must run first */
  REMORA_WAIT_TIMEOUT,
  REMORA_WAIT_INTERRUPTED, /* a signal came: let the language handle it, then wait again */
  REMORA_WAIT_AGAIN        /* remora_spin only: nothing yet, sleep with remora_wait_for */
} remora_wait;
/* Looks for the result for some tens of microseconds without sleeping; a binding keeps its interpreter's lock. */
REMORA_API remora_wait remora_spin(remora_future *future, remora_queue *queue);
/* Sleeps until the future is ready or the queue holds an event for it; a binding gives its interpreter's lock away meanwhile. */
REMORA_API remora_wait remora_wait_for(remora_future *future, remora_queue *queue, int64_t ms);
/* An event that has to run inside the wait for this future; *new* or NULL. */
REMORA_API REMORA_NEW remora_event *remora_take(remora_queue *queue, remora_future *future);

/* ------------------------------------------------------------------------------- from one language to another in the process */

/* Several languages in one process share connections, proxies and futures: one writes a ticket (a number that no user code
 * can turn into a bad pointer), the other redeems it, once. A ticket holds a reference until then. */
typedef enum remora_ticket_kind {
  REMORA_TICKET_NONE = 0, /* there is no such ticket (any more) */
  REMORA_TICKET_CONN,
  REMORA_TICKET_PROXY,
  REMORA_TICKET_FUTURE
} remora_ticket_kind;
/* A new number, never 0; 0 with *err. */
REMORA_API uint64_t remora_ticket_conn(remora_conn *conn, remora_error **err);
REMORA_API uint64_t remora_ticket_proxy(remora_proxy *proxy, remora_error **err);
REMORA_API uint64_t remora_ticket_future(remora_future *future, remora_error **err);
/* What the ticket is for; it stays as it is. */
REMORA_API remora_ticket_kind remora_ticket_is_for(uint64_t ticket);
/* *new*; NULL with REMORA_E_INVALID for a number that is no ticket (any more) or for something else, which leaves the ticket as it is. */
REMORA_API REMORA_NEW remora_conn *remora_redeem_conn(uint64_t ticket, remora_error **err);
REMORA_API REMORA_NEW remora_proxy *remora_redeem_proxy(uint64_t ticket, remora_error **err);
REMORA_API REMORA_NEW remora_future *remora_redeem_future(uint64_t ticket, remora_error **err);

/* Ends all connections: one-way calls are sent for at most a second, children end, nothing runs afterwards. For the host's exit. */
REMORA_API void remora_shutdown(void);

#ifdef __cplusplus
}
#endif
#endif /* REMORA_H */
