/* ruby_events.c: what the far side wants from us: runs an event with code of Ruby, and answers it. */
#include "ruby_types.h"
#include "ruby_values.h"

#include <ruby/thread.h>
#include <stdint.h>

static ID id_promise, id_perform, id_failure, id_output, id_report, id_call;

typedef struct running {
  remora_event *event;
  VALUE result;
} running;

/* Does what is asked for. Raises. */
static VALUE perform_body(VALUE argument) {
  running *r = (running *)argument;
  remora_error *err = NULL;
  const remora_value *args = remora_event_args(r->event, &err);
  if (!args) {
    remora_error_free(err); /* it was answered */
    return Qundef;
  }
  VALUE target = (VALUE)remora_event_userdata(r->event);
  const char *method = remora_event_method(r->event);
  VALUE list = ruby_from_value(args), keywords = ruby_from_value(remora_keywords(args));
  remora_event_enter(r->event);
  VALUE made = !*method && NIL_P(keywords) && rb_obj_is_proc(target)
                   ? rb_proc_call(target, list)
                   : rb_funcall(ruby_package, id_perform, 4, target, rb_utf8_str_new_cstr(method), list, keywords);
  return ruby_future_is_derived(made) ? rb_funcall(made, id_promise, 0) : made;
}

/* The map of an exception of ours, or [code, message]. */
static VALUE failure_body(VALUE exception) { return rb_funcall(ruby_package, id_failure, 1, exception); }

static remora_error *error_of(VALUE exception) {
  int state;
  VALUE details = rb_protect(failure_body, exception, &state);
  remora_error *error = NULL;
  if (!state && RB_TYPE_P(details, T_ARRAY)) {
    VALUE message = RARRAY_AREF(details, 1);
    error = remora_error_new(NUM2INT(RARRAY_AREF(details, 0)), StringValueCStr(message));
  } else if (!state) {
    ruby_failure failure = {0};
    remora_value *value = ruby_value_try(details, &failure);
    if (value) error = remora_error_remote(value);
    remora_error_free(failure.error);
    state = failure.state;
  }
  if (state) rb_set_errinfo(Qnil);
  return error ? error : remora_error_new(REMORA_E_NOTFOUND, "an error, and its details cannot be sent");
}

/* Is it meant for the thread rather than for the caller over there? */
static int goes_on(VALUE exception) {
  return rb_obj_is_kind_of(exception, rb_eInterrupt) || rb_obj_is_kind_of(exception, rb_eSignal) ||
         rb_obj_is_kind_of(exception, rb_eSystemExit) || rb_obj_is_kind_of(exception, rb_eFatal);
}

VALUE ruby_reject(VALUE module, VALUE promise, VALUE exception) {
  (void)module;
  return remora_reject(ruby_future_handle(promise), error_of(exception)) ? Qtrue : Qfalse;
}

static int is_container(VALUE object) {
  return (RB_TYPE_P(object, T_ARRAY) && rb_obj_class(object) == rb_cArray) ||
         (RB_TYPE_P(object, T_HASH) && rb_obj_class(object) == rb_cHash);
}

/* 0, or the state in which the thread goes on. *owned: the answer comes later, and takes the event along. */
static int run_call(remora_event *event, int *owned) {
  running r = {.event = event};
  int state;
  VALUE result = rb_protect(perform_body, (VALUE)&r, &state);
  remora_error *error = NULL;
  remora_future *later = !state && result != Qundef ? ruby_future_peek(result) : NULL;
  if (later) {
    *owned = 1;
    remora_event_done(event);
    remora_event_reply_with(event, later);
    RB_GC_GUARD(result);
    return 0;
  }
  if (!state && result != Qundef) {
    ruby_failure failure = {0};
    remora_value *value = remora_event_by_ref(event) && is_container(result) ? ruby_reference_try(result, &failure)
                                                                             : ruby_value_try(result, &failure);
    if (value && remora_event_reply(event, value, &error) == 0) { /* else the far side has got the error */
    } else if (!value && !failure.state) {
      remora_event_fail(event, failure.error ? failure.error : remora_error_new(REMORA_E_NOMEM, NULL));
    }
    remora_error_free(error);
    remora_value_unref(value);
    state = failure.state;
  }
  if (!state) return 0;
  VALUE exception = rb_errinfo();
  if (!RB_SPECIAL_CONST_P(exception) && rb_obj_is_kind_of(exception, rb_eException)) {
    rb_set_errinfo(Qnil);
    remora_event_fail(event, error_of(exception));
    if (!goes_on(exception)) return 0;
    rb_set_errinfo(exception);
  } else { /* break, throw, the thread's end */
    remora_event_fail(event, remora_error_new(REMORA_E_CANCELLED, "the callback was left before it had a result"));
  }
  return state;
}

static VALUE output_body(VALUE argument) {
  const remora_event *event = (const remora_event *)argument;
  size_t length;
  const char *data = remora_event_data(event, &length);
  return rb_funcall(ruby_package, id_output, 3, ULL2NUM((uintptr_t)remora_event_conn(event)),
                    INT2FIX(remora_event_stream(event)), rb_str_new(data, (long)length));
}

static VALUE ready_body(VALUE argument) {
  return rb_funcall(ruby_held_object(remora_event_userdata((const remora_event *)argument)), id_call, 0);
}

static VALUE log_body(VALUE argument) {
  remora_event *event = (remora_event *)argument;
  VALUE log = rb_const_get(rb_const_get(rb_cObject, rb_intern("Remora")), rb_intern("Log"));
  return rb_funcall(log, rb_intern("run"), 2, ULL2NUM(remora_event_sink(event)),
                    ruby_from_value(remora_event_args(event, NULL)));
}

static VALUE report_body(VALUE exception) { return rb_funcall(ruby_package, id_report, 1, exception); }

/* Something that has nobody to tell its errors to. */
static int run_quietly(VALUE (*body)(VALUE), remora_event *event) {
  int state;
  rb_protect(body, (VALUE)event, &state);
  if (!state) return 0;
  VALUE exception = rb_errinfo();
  if (RB_SPECIAL_CONST_P(exception) || !rb_obj_is_kind_of(exception, rb_eException) || goes_on(exception)) return state;
  rb_set_errinfo(Qnil);
  rb_protect(report_body, exception, &state);
  if (state) rb_set_errinfo(Qnil);
  return 0;
}

void ruby_run_event(remora_event *event) {
  static int ready;
  if (!ready) {
    id_promise = rb_intern("promise");
    id_perform = rb_intern("perform");
    id_failure = rb_intern("failure");
    id_output = rb_intern("output");
    id_report = rb_intern("report");
    id_call = rb_intern("call");
    ready = 1;
  }
  int state = 0, owned = 0;
  switch (remora_event_type(event)) {
  case REMORA_EVENT_CALL:
    state = run_call(event, &owned);
    break;
  case REMORA_EVENT_OUTPUT:
    state = run_quietly(output_body, event);
    break;
  case REMORA_EVENT_READY:
    state = run_quietly(ready_body, event);
    break;
  case REMORA_EVENT_LOG:
    state = run_quietly(log_body, event);
    break;
  case REMORA_EVENT_REAP:
    remora_queue_reap(ruby_queue());
    break;
  }
  if (!owned) remora_event_free(event);
  if (state) rb_jump_tag(state);
}

typedef struct pulling {
  remora_queue *queue;
  remora_event *event;
} pulling;

static void *pull_asleep(void *argument) {
  pulling *p = argument;
  p->event = remora_next_event(p->queue, -1);
  return NULL;
}

void ruby_serve_one(void) {
  pulling p = {.queue = ruby_queue()};
  rb_thread_call_without_gvl2(pull_asleep, &p, RUBY_UBF_IO, NULL);
  if (p.event) ruby_run_event(p.event);
  rb_thread_check_ints();
}
