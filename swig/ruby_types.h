/* ruby_types.h: the three types on the path of a call, Proxy, Call and Future, and the one place that waits. In C because what is on that path
 * costs several times as much in Ruby; everything else is in the package. */
#ifndef REMORA_RUBY_TYPES_H
#define REMORA_RUBY_TYPES_H

#include <ruby.h>

#include "remora.h"

/* A Proxy for this handle. Takes its own reference of the handle. Raises. */
VALUE ruby_proxy_new(remora_proxy *handle);
remora_proxy *ruby_proxy_handle(VALUE proxy); /* borrowed; raises TypeError */
remora_proxy *ruby_proxy_peek(VALUE object);  /* borrowed; NULL if it is no Proxy */
/* Steals the future. */
VALUE ruby_future_new(remora_future *future);
remora_future *ruby_future_handle(VALUE future); /* borrowed; raises TypeError */

/* Waits without the interpreter's lock. 0, or -1 when the time is up. Raises what interrupts it. */
int ruby_wait_closed(remora_conn *conn, int64_t ms);

/* Runs an event and answers it (ruby_events.c); steals it. Raises only what is meant for the thread: Interrupt, exit, a thread's end, break and throw. */
void ruby_run_event(remora_event *event);
/* The dispatcher's step: waits for an event of the queue, and runs it. Raises what interrupts it. */
void ruby_serve_one(void);

/* Adds types and functions to the module. */
void ruby_types_init(VALUE module);

/* The future behind an object; NULL if it is none, or made of others. */
remora_future *ruby_future_peek(VALUE object);
int ruby_future_is_derived(VALUE object);
/* reject(promise, exception) */
VALUE ruby_reject(VALUE module, VALUE promise, VALUE exception);

#endif
