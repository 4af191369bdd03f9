/* ruby_values.h: VALUE <-> remora_value, objects of ours that are lent, errors, and references given back without the interpreter's lock.
 *
 * Ruby raises by longjmp, so whoever holds something of the library calls what raises under rb_protect; the functions here say which they are. */
#ifndef REMORA_RUBY_VALUES_H
#define REMORA_RUBY_VALUES_H

#include <ruby.h>

#include "remora.h"

#include <stdatomic.h>

/* The module Remora::Internal; what C asks of the package are its functions. */
extern VALUE ruby_package;

/* The interpreter's queue; made when first needed, and anew after fork. Raises. */
remora_queue *ruby_queue(void);

/* Why a value could not be made: an exception that is being raised (state), or an error of our own. Both empty: memory is out. */
typedef struct ruby_failure {
  int state;
  remora_error *error;
} ruby_failure;
/* Raises it; never returns. */
void ruby_failure_raise(ruby_failure *failure) __attribute__((noreturn));

/* *new*; NULL with *failure. Does not raise. */
remora_value *ruby_value_try(VALUE object, ruby_failure *failure);
/* The same for what is lent whatever it is. */
remora_value *ruby_reference_try(VALUE object, ruby_failure *failure);
/* *new*. Raises. */
remora_value *ruby_value_new(VALUE object);
/* The argument list of a call; *new*; NULL without a failure when there are no arguments. keywords: the last of argv is a hash of keyword arguments.
 * A block (or nil) becomes the keyword "&" where the far side is Ruby, else the last positional argument. */
remora_value *ruby_arguments_try(int argc, const VALUE *argv, int keywords, VALUE block, int far_ruby,
                                 ruby_failure *failure);
/* These raise. */
VALUE ruby_from_value(const remora_value *value);
/* Gives the value back, whatever happens. */
VALUE ruby_take_value(remora_value *value);

/* Raises err (and frees it); never returns. */
void ruby_raise(remora_error *err) __attribute__((noreturn));
/* The exception for err, which is freed. Raises when there is none. */
VALUE ruby_exception(remora_error *err);

/* A reference that C holds and gives back on any thread. Raises when memory is out. */
void *ruby_held_new(VALUE object);
void ruby_held_release(void *held);
VALUE ruby_held_object(const void *held);

extern _Atomic(struct held *) ruby_released;
void ruby_tidy_now(void);
/* Forgets what was given back meanwhile. With the interpreter's lock. */
static inline void ruby_tidy(void) {
  if (atomic_load_explicit(&ruby_released, memory_order_relaxed)) ruby_tidy_now();
}

void ruby_values_init(VALUE package);

#endif
