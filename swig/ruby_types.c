#include "ruby_types.h"

#include "ruby_values.h"

#include <ruby/thread.h>
#include <ruby/vm.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static ID id_proxy_class, id_call;
static VALUE proxy_base, call_class, future_class;

/* --------------------------------------------------------------------------------------------------------------- waiting */

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

typedef struct wait {
  remora_future *future;
  remora_queue *queue;
  int64_t ms, left;
  remora_wait state;
} wait;

static void *wait_asleep(void *argument) {
  wait *w = argument;
  w->state = remora_wait_for(w->future, w->queue, w->left);
  return NULL;
}

/* The rest of a wait that has looked: 1 the future is ready, 0 the time is up. Raises what interrupts it. RUBY_UBF_IO is how Ruby ends a system call of a
 * thread that has to look up (Interrupt, Thread#raise, Thread#kill): with a signal of its own, again and again until the thread is back. */
static VALUE wait_body(VALUE argument) {
  wait *w = (wait *)argument;
  int64_t until = w->ms < 0 ? 0 : now_ms() + w->ms;
  for (;;) {
    switch (w->state) {
    case REMORA_WAIT_READY:
      return 1;
    case REMORA_WAIT_TIMEOUT:
      return 0;
    case REMORA_WAIT_EVENT: {
      remora_event *event = remora_take(w->queue, w->future);
      if (event) ruby_run_event(event);
      w->state = remora_spin(w->future, w->queue); /* what it was called for usually goes on at once */
      continue;
    }
    case REMORA_WAIT_INTERRUPTED:
    case REMORA_WAIT_AGAIN:
      rb_thread_check_ints();
      break;
    }
    w->left = w->ms < 0 ? -1 : until - now_ms();
    if (w->ms >= 0 && w->left < 0) w->left = 0;
    w->state = REMORA_WAIT_INTERRUPTED; /* it stays so when something waits to be looked at already */
    rb_thread_call_without_gvl2(wait_asleep, w, RUBY_UBF_IO, NULL);
  }
}

/* 1 the future is ready, 0 the time is up. The interpreter's lock is kept while it looks and given away while it sleeps. *state is set when it was interrupted. */
static int wait_try(remora_future *future, int64_t ms, int *state) {
  wait w = {.future = future, .queue = ruby_queue(), .ms = ms};
  *state = 0;
  w.state = remora_spin(future, w.queue);
  if (w.state == REMORA_WAIT_READY) return 1;
  return (int)rb_protect(wait_body, (VALUE)&w, state);
}

static int wait_for(remora_future *future, int64_t ms) {
  int state, ready = wait_try(future, ms, &state);
  if (state) rb_jump_tag(state);
  return ready;
}

/* The result of a future that is ready. Raises. */
static VALUE take_result(remora_future *future) {
  remora_error *err = NULL;
  remora_value *value = remora_future_result(future, &err);
  if (!value) ruby_raise(err);
  return ruby_take_value(value);
}

static VALUE take_result_body(VALUE future) { return take_result((remora_future *)future); }

/* ----------------------------------------------------------------------------------------------------------------- Proxy */

/* What can be done with an object by its type (docs/protocol.md section 5): each combination has a class of proxies. */
static const char *const words[] = {"call",    "iter",     "next",  "len",   "item", "setitem",
                                    "delitem", "contains", "enter", "order", "keys"};
#define WORDS (sizeof words / sizeof *words)
#define WORD_CALL 1u
#define FAR_RUBY (1u << WORDS)

typedef struct proxy {
  remora_proxy *handle;
  VALUE items; /* what has come of an iteration and was not taken (Remora::Items) */
  unsigned traits;
} proxy;

static void proxy_mark(void *p) { rb_gc_mark(((proxy *)p)->items); }
static void proxy_free(void *p) {
  remora_proxy_unref(((proxy *)p)->handle);
  ruby_xfree(p);
}

static const rb_data_type_t proxy_type = {.wrap_struct_name = "remora proxy",
                                          .function = {.dmark = proxy_mark, .dfree = proxy_free},
                                          .flags = RUBY_TYPED_FREE_IMMEDIATELY};

static unsigned traits_of(const remora_proxy *handle) {
  unsigned traits = 0;
  const char *at = remora_proxy_traits(handle);
  while (at && *at) {
    size_t length = strcspn(at, " ");
    for (unsigned i = 0; i < WORDS; i++)
      if (strlen(words[i]) == length && memcmp(words[i], at, length) == 0) traits |= 1u << i;
    at += length + (at[length] == ' ');
  }
  const char *node = remora_as_text(remora_get(remora_conn_hello(remora_proxy_conn(handle)), "node"), NULL);
  return node && strcmp(node, "ruby") == 0 ? traits | FAR_RUBY : traits;
}

static VALUE proxy_class_of(unsigned traits) {
  static VALUE classes[FAR_RUBY * 2];
  if (classes[traits]) return classes[traits];
  VALUE list = rb_ary_new();
  for (unsigned i = 0; i < WORDS; i++)
    if (traits & 1u << i) rb_ary_push(list, ID2SYM(rb_intern(words[i])));
  VALUE made = rb_funcall(ruby_package, id_proxy_class, 2, list, traits & FAR_RUBY ? Qtrue : Qfalse);
  rb_gc_register_mark_object(made);
  return classes[traits] = made;
}

VALUE ruby_proxy_new(remora_proxy *handle) {
  unsigned traits = traits_of(handle);
  proxy *p;
  VALUE self = TypedData_Make_Struct(proxy_class_of(traits), proxy, &proxy_type, p);
  p->items = Qnil;
  p->traits = traits;
  p->handle = remora_proxy_ref(handle);
  return self;
}

static proxy *proxy_of(VALUE object) {
  if (RB_SPECIAL_CONST_P(object) || !rb_typeddata_is_kind_of(object, &proxy_type))
    rb_raise(rb_eTypeError, "a Remora::Proxy is needed, not %" PRIsVALUE, rb_obj_class(object));
  return RTYPEDDATA_DATA(object);
}

remora_proxy *ruby_proxy_handle(VALUE object) { return proxy_of(object)->handle; }

remora_proxy *ruby_proxy_peek(VALUE object) {
  return rb_typeddata_is_kind_of(object, &proxy_type) ? ((proxy *)RTYPEDDATA_DATA(object))->handle : NULL;
}

/* ----------------------------------------------------------------------------------------------------------------- calls */

/* How a call is made. */
typedef struct manner {
  int64_t timeout; /* ms; -1 none */
  unsigned flags;  /* REMORA_ONEWAY, REMORA_BYREF */
  char start;      /* give a Future instead of waiting */
} manner;
static const manner plain = {.timeout = -1};

typedef struct sending {
  remora_proxy *proxy;
  const char *method;
  const remora_value *args;
  manner how;
  remora_error *error;
  remora_future *future;
} sending;

static void *send_asleep(void *argument) {
  sending *s = argument;
  s->future = remora_start_with(s->proxy, s->method, s->args, s->how.timeout, s->how.flags, &s->error);
  return NULL;
}

/* Waits for room on a full connection. Raises what interrupts it. */
static VALUE send_body(VALUE argument) {
  sending *s = (sending *)argument;
  do {
    s->error = remora_error_free(s->error);
    rb_thread_check_ints();
    rb_thread_call_without_gvl2(send_asleep, s, RUBY_UBF_IO, NULL);
  } while (!s->future && (!s->error || remora_error_code(s->error) == REMORA_E_INTERRUPTED));
  return Qnil;
}

/* argv may be what follows the method's name. keywords: the last of argv is a Hash of them. */
static VALUE call(const proxy *to, const char *method, manner how, int argc, const VALUE *argv, int keywords) {
  ruby_tidy();
  VALUE block = rb_block_given_p() ? rb_block_proc() : Qnil;
  ruby_failure failure = {0};
  remora_value *args = ruby_arguments_try(argc, argv, keywords, block, (to->traits & FAR_RUBY) != 0, &failure);
  if (!args && (argc || !NIL_P(block))) ruby_failure_raise(&failure);
  if (!how.start && !(how.flags & REMORA_ONEWAY)) how.flags |= REMORA_AWAITED;
  sending s = {.proxy = to->handle, .method = method, .args = args, .how = how};
  s.future = remora_start_with(s.proxy, method, args, how.timeout, how.flags | REMORA_NOWAIT, &s.error);
  int state = 0;
  if (!s.future && remora_error_code(s.error) == REMORA_E_OVERLOADED) rb_protect(send_body, (VALUE)&s, &state);
  remora_value_unref(args);
  if (state) {
    remora_error_free(s.error);
    rb_jump_tag(state);
  }
  if (!s.future) ruby_raise(s.error);
  if (how.start) return ruby_future_new(s.future);
  if (how.flags & REMORA_ONEWAY) {
    remora_future_unref(s.future);
    return Qnil;
  }

  (void)wait_try(s.future, -1, &state);
  if (state) {
    remora_cancel(s.future); /* nobody can ask for it any more */
    remora_future_unref(s.future);
    rb_jump_tag(state);
  }
  remora_error *err = NULL;
  remora_value *value = remora_future_result(s.future, &err);
  remora_future_unref(s.future);
  if (!value) ruby_raise(err);
  VALUE result = ruby_take_value(value);
  RB_GC_GUARD(block);
  return result;
}

static const char *name_of(VALUE symbol) {
  VALUE text = SYMBOL_P(symbol) ? rb_sym2str(symbol) : symbol;
  return StringValueCStr(text); /* a symbol's text lives as long as the symbol */
}

/* proxy.name(...) */
static VALUE proxy_missing(int argc, VALUE *argv, VALUE self) {
  if (argc < 1) rb_raise(rb_eArgError, "a method's name is missing");
  VALUE result = call(proxy_of(self), name_of(argv[0]), plain, argc - 1, argv + 1, rb_keyword_given_p());
  RB_GC_GUARD(self);
  return result;
}

/* proxy.call(...), of what can be called */
static VALUE proxy_call(int argc, VALUE *argv, VALUE self) {
  VALUE result = call(proxy_of(self), NULL, plain, argc, argv, rb_keyword_given_p());
  RB_GC_GUARD(self);
  return result;
}

static VALUE proxy_equal(VALUE self, VALUE other) {
  return !RB_SPECIAL_CONST_P(other) && ruby_proxy_peek(other) == ruby_proxy_handle(self) ? Qtrue : Qfalse;
}

static VALUE proxy_hash(VALUE self) { return ST2FIX(rb_memhash(&proxy_of(self)->handle, sizeof(remora_proxy *))); }
static VALUE proxy_class(VALUE self) { return rb_obj_class(self); }
static VALUE proxy_is_a(VALUE self, VALUE cls) { return rb_obj_is_kind_of(self, cls); }

/* invoke(proxy, method, *args): a call whose method is no name (":len"). */
static VALUE invoke(int argc, VALUE *argv, VALUE module) {
  (void)module;
  if (argc < 2) rb_raise(rb_eArgError, "invoke takes a proxy and a method");
  return call(proxy_of(argv[0]), name_of(argv[1]), plain, argc - 2, argv + 2, rb_keyword_given_p());
}

static VALUE items(VALUE module, VALUE self) {
  (void)module;
  return proxy_of(self)->items;
}

static VALUE set_items(VALUE module, VALUE self, VALUE value) {
  (void)module;
  return proxy_of(self)->items = value;
}

/* [far type, connection's name, pid], for inspect. */
static VALUE about(VALUE module, VALUE self) {
  (void)module;
  remora_proxy *handle = ruby_proxy_handle(self);
  remora_conn *conn = remora_proxy_conn(handle);
  return rb_ary_new_from_args(3, rb_utf8_str_new_cstr(remora_proxy_type(handle)),
                              rb_utf8_str_new_cstr(remora_conn_name(conn)), LL2NUM(remora_conn_pid(conn)));
}

/* ------------------------------------------------------------------------------------------------------------------ Call */

/* What start(proxy) and options(proxy) give: its methods are those of the far object. */
typedef struct binding {
  VALUE proxy;
  manner how;
} binding;

static void binding_mark(void *p) { rb_gc_mark(((binding *)p)->proxy); }

static const rb_data_type_t binding_type = {.wrap_struct_name = "remora call",
                                            .function = {.dmark = binding_mark, .dfree = RUBY_DEFAULT_FREE},
                                            .flags = RUBY_TYPED_FREE_IMMEDIATELY};

/* bind(target, start, timeout_ms, oneway, by_ref): target is a Proxy, or a Call whose manner is then amended. */
static VALUE bind(VALUE module, VALUE target, VALUE start, VALUE timeout, VALUE oneway, VALUE by_ref) {
  (void)module;
  manner how = plain;
  if (!RB_SPECIAL_CONST_P(target) && rb_typeddata_is_kind_of(target, &binding_type)) {
    const binding *old = RTYPEDDATA_DATA(target);
    how = old->how;
    target = old->proxy;
  }
  (void)proxy_of(target);
  int64_t ms = NUM2LL(timeout);
  if (RTEST(start)) how.start = 1;
  if (ms >= 0) how.timeout = ms;
  if (RTEST(oneway)) how.flags |= REMORA_ONEWAY;
  if (RTEST(by_ref)) how.flags |= REMORA_BYREF;
  binding *b;
  VALUE self = TypedData_Make_Struct(call_class, binding, &binding_type, b);
  b->proxy = target;
  b->how = how;
  return self;
}

static VALUE call_missing(int argc, VALUE *argv, VALUE self) {
  if (argc < 1) rb_raise(rb_eArgError, "a method's name is missing");
  const binding *b = rb_check_typeddata(self, &binding_type);
  const proxy *to = proxy_of(b->proxy);
  int itself = argv[0] == ID2SYM(id_call) && (to->traits & WORD_CALL);
  VALUE result = call(to, itself ? NULL : name_of(argv[0]), b->how, argc - 1, argv + 1, rb_keyword_given_p());
  RB_GC_GUARD(self);
  return result;
}

/* ---------------------------------------------------------------------------------------------------------------- Future */

typedef struct future {
  remora_future *handle; /* NULL in futures that the package makes of others */
  VALUE value, error;    /* once it was looked at; Qundef */
} future;

static void future_mark(void *p) {
  const future *f = p;
  if (f->value != Qundef) rb_gc_mark(f->value);
  if (f->error != Qundef) rb_gc_mark(f->error);
}

static void future_free(void *p) {
  remora_future_unref(((future *)p)->handle);
  ruby_xfree(p);
}

static const rb_data_type_t future_type = {.wrap_struct_name = "remora future",
                                           .function = {.dmark = future_mark, .dfree = future_free},
                                           .flags = RUBY_TYPED_FREE_IMMEDIATELY};

static VALUE future_alloc(VALUE cls) {
  future *f;
  VALUE self = TypedData_Make_Struct(cls, future, &future_type, f);
  f->value = f->error = Qundef;
  return self;
}

VALUE ruby_future_new(remora_future *handle) {
  VALUE self = future_alloc(future_class);
  ((future *)RTYPEDDATA_DATA(self))->handle = handle;
  return self;
}

static future *future_of(VALUE object) {
  future *f = rb_check_typeddata(object, &future_type);
  if (!f->handle) rb_raise(rb_eTypeError, "this future has no call of its own");
  return f;
}

remora_future *ruby_future_handle(VALUE object) { return future_of(object)->handle; }

/* wait_ms(ms): whether it is resolved within the time. */
static VALUE future_wait(VALUE self, VALUE ms) {
  int64_t limit = NUM2LL(ms);
  future *f = future_of(self);
  VALUE ready = f->value != Qundef || f->error != Qundef || wait_for(f->handle, limit) ? Qtrue : Qfalse;
  RB_GC_GUARD(self);
  return ready;
}

/* [value, error] of a future that is ready, kept. */
static VALUE future_outcome(VALUE self) {
  future *f = future_of(self);
  if (f->value == Qundef && f->error == Qundef) {
    remora_error *err = NULL;
    remora_value *value = remora_future_result(f->handle, &err);
    VALUE made = value ? ruby_take_value(value) : ruby_exception(err);
    /* Another thread may have been here while code of Ruby ran. */
    if (f->value == Qundef && f->error == Qundef) {
      if (value)
        f->value = made;
      else
        f->error = made;
    }
  }
  VALUE both = rb_ary_new_from_args(2, f->value == Qundef ? Qnil : f->value, f->error == Qundef ? Qnil : f->error);
  RB_GC_GUARD(self);
  return both;
}

/* take(): the value of a future that nobody but await_all has seen; waits for it. Raises what the call raised. */
static VALUE future_take(VALUE self) {
  future *f = future_of(self);
  if (f->error != Qundef) rb_exc_raise(f->error);
  if (f->value != Qundef) return f->value;
  (void)wait_for(f->handle, -1);
  int state;
  VALUE made = rb_protect(take_result_body, (VALUE)f->handle, &state);
  if (state) {
    VALUE error = rb_errinfo();
    if (f->error == Qundef && rb_obj_is_kind_of(error, rb_eStandardError)) f->error = error;
    rb_jump_tag(state);
  }
  if (f->value == Qundef) f->value = made;
  RB_GC_GUARD(self);
  return f->value;
}

static VALUE future_state(VALUE self) {
  static const char *const names[] = {"pending", "fulfilled", "rejected", "cancelled"};
  return ID2SYM(rb_intern(names[remora_future_state(ruby_future_handle(self))]));
}

static VALUE future_cancel(VALUE self) { return remora_cancel(ruby_future_handle(self)) ? Qtrue : Qfalse; }

remora_future *ruby_future_peek(VALUE object) {
  return RB_SPECIAL_CONST_P(object) || !rb_typeddata_is_kind_of(object, &future_type)
             ? NULL
             : ((future *)RTYPEDDATA_DATA(object))->handle;
}

int ruby_future_is_derived(VALUE object) {
  return !RB_SPECIAL_CONST_P(object) && rb_typeddata_is_kind_of(object, &future_type) && !ruby_future_peek(object);
}

/* first_of([future, ...]): a Future that is resolved with the first of them. */
static VALUE first_of(VALUE module, VALUE list) {
  (void)module;
  Check_Type(list, T_ARRAY);
  VALUE room;
  remora_future **handles = ALLOCV_N(remora_future *, room, RARRAY_LEN(list) + 1);
  for (long i = 0; i < RARRAY_LEN(list); i++) handles[i] = ruby_future_handle(RARRAY_AREF(list, i));
  remora_error *err = NULL;
  remora_future *first = remora_any(handles, (size_t)RARRAY_LEN(list), &err);
  ALLOCV_END(room);
  RB_GC_GUARD(list);
  if (!first) ruby_raise(err);
  return ruby_future_new(first);
}

/* ---------------------------------------------------------------------------------------------------------------- module */

typedef struct closing {
  remora_conn *conn;
  int64_t ms;
  int rc;
} closing;

static void *wait_closed_asleep(void *argument) {
  closing *c = argument;
  c->rc = remora_conn_wait_closed(c->conn, c->ms);
  return NULL;
}

int ruby_wait_closed(remora_conn *conn, int64_t ms) {
  closing c = {.conn = conn, .rc = -1};
  int64_t until = now_ms() + ms;
  do { /* a signal ends it too */
    rb_thread_check_ints();
    c.ms = ms < 0 ? -1 : until > now_ms() ? until - now_ms() : 0;
    rb_thread_call_without_gvl2(wait_closed_asleep, &c, RUBY_UBF_IO, NULL);
  } while (c.rc != 0 && (ms < 0 || now_ms() < until));
  return c.rc;
}

/* Behind everything of the program's own, its at_exit blocks too (a test framework runs in one); no code of Ruby can run any more. */
static void at_end(ruby_vm_t *vm) {
  (void)vm;
  remora_shutdown();
}

static VALUE serve_one(VALUE module) {
  ruby_serve_one();
  ruby_tidy();
  return module;
}

/* For the exports: does the object stand for something over there? */
static VALUE is_proxy(VALUE module, VALUE object) {
  (void)module;
  return !RB_SPECIAL_CONST_P(object) && ruby_proxy_peek(object) ? Qtrue : Qfalse;
}

/* use_dispatcher(): a thread will sit in serve_one. */
static VALUE use_dispatcher(VALUE module) {
  remora_queue_set_dispatcher(ruby_queue(), 1);
  return module;
}

void ruby_types_init(VALUE module) {
  VALUE remora = rb_define_module("Remora");
  id_proxy_class = rb_intern("proxy_class");
  id_call = rb_intern("call");
  ruby_values_init(rb_define_module_under(remora, "Internal"));

  proxy_base = rb_define_class_under(remora, "Proxy", rb_cBasicObject);
  rb_undef_alloc_func(proxy_base);
  rb_define_private_method(proxy_base, "method_missing", proxy_missing, -1);
  rb_define_method(proxy_base, "==", proxy_equal, 1);
  rb_define_method(proxy_base, "===", proxy_equal, 1);
  rb_define_method(proxy_base, "eql?", proxy_equal, 1);
  rb_define_method(proxy_base, "equal?", proxy_equal, 1);
  rb_define_method(proxy_base, "hash", proxy_hash, 0);
  rb_define_method(proxy_base, "class", proxy_class, 0);
  rb_define_method(proxy_base, "is_a?", proxy_is_a, 1);
  rb_define_method(proxy_base, "kind_of?", proxy_is_a, 1);

  VALUE callable = rb_define_module_under(proxy_base, "Callable");
  rb_define_method(callable, "call", proxy_call, -1);

  call_class = rb_define_class_under(remora, "Call", rb_cBasicObject);
  rb_undef_alloc_func(call_class);
  rb_define_private_method(call_class, "method_missing", call_missing, -1);

  future_class = rb_define_class_under(remora, "Future", rb_cObject);
  rb_define_alloc_func(future_class, future_alloc);
  rb_define_method(future_class, "state", future_state, 0);
  rb_define_method(future_class, "cancel", future_cancel, 0);
  rb_define_private_method(future_class, "wait_ms", future_wait, 1);
  rb_define_private_method(future_class, "outcome", future_outcome, 0);
  rb_define_protected_method(future_class, "take", future_take, 0);

  rb_define_module_function(module, "bind", bind, 5);
  rb_define_module_function(module, "invoke", invoke, -1);
  rb_define_module_function(module, "first_of", first_of, 1);
  rb_define_module_function(module, "reject", ruby_reject, 2);
  rb_define_module_function(module, "items", items, 1);
  rb_define_module_function(module, "set_items", set_items, 2);
  rb_define_module_function(module, "about", about, 1);
  rb_define_module_function(module, "proxy?", is_proxy, 1);
  rb_define_module_function(module, "serve_one", serve_one, 0);
  rb_define_module_function(module, "use_dispatcher", use_dispatcher, 0);
  ruby_vm_at_exit(at_end);
}
