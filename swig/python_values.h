/* python_values.h: PyObject <-> remora_value, objects of ours that are lent, errors, and references given back without the interpreter's lock. */
#ifndef REMORA_PYTHON_VALUES_H
#define REMORA_PYTHON_VALUES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "remora.h"

#include <stdatomic.h>

#if PY_VERSION_HEX < 0x030A0000
static inline PyObject *Py_NewRef(PyObject *object) { return Py_INCREF(object), object; }
static inline PyObject *Py_XNewRef(PyObject *object) { return Py_XINCREF(object), object; }
#endif
#if PY_VERSION_HEX < 0x03090000
#define PyObject_CallOneArg(function, argument) PyObject_CallFunctionObjArgs(function, argument, NULL)
#define PyObject_CallNoArgs(function) PyObject_CallObject(function, NULL)
#define Py_TPFLAGS_HAVE_VECTORCALL _Py_TPFLAGS_HAVE_VECTORCALL
#endif

/* What the package lends to C, set by capi.setup(). */
typedef struct python_hooks {
  PyObject *make_error;  /* (code, message, stage, traceback, details) -> exception */
  PyObject *run_event;   /* (event) -> None; runs and answers it */
  PyObject *describe;    /* (type) -> (full name, traits) for lending its instances */
  PyObject *proxy_class; /* (full name, traits) -> subclass of Proxy for a far type */
  PyObject *future_class;
  PyObject *big_to_text; /* (int) -> decimal text, and back; Python's own conversions refuse long numbers */
  PyObject *text_to_big;
  PyObject *by_ref;    /* class whose instances have a `value` that is lent, whatever it is */
  PyObject *may_block; /* () -> bool: False where a full connection must not stop the thread (asyncio) */
} python_hooks;
extern python_hooks python_hook;

/* The interpreter's queue; made when first needed, and anew after fork. NULL with an exception set. */
remora_queue *python_queue(void);

/* *new*; NULL with an exception set. */
remora_value *python_value_new(PyObject *object);
/* The argument list of a vectorcall; *new*. NULL without an exception when there are no arguments. */
remora_value *python_arguments_new(PyObject *const *args, Py_ssize_t count, PyObject *names);
/* New references; NULL with an exception set. */
PyObject *python_from_value(const remora_value *value);
PyObject *python_from_arguments(const remora_value *args); /* (list, dict or None) */
/* The Python object of a CALL event, the callable of a READY event. */
PyObject *python_event_target(const remora_event *event);

/* Raises err (and frees it); always NULL. */
PyObject *python_raise(remora_error *err);
/* Raises an error of our own; always NULL. */
PyObject *python_fail(int code, const char *format, ...);
/* The exception for err, which is freed; NULL with an exception set when there is none. */
PyObject *python_exception(remora_error *err);

/* A reference that C holds and gives back on any thread. NULL with an exception set. */
void *python_held_new(PyObject *object);
void python_held_release(void *held);

extern _Atomic(struct held *) python_released;
void python_tidy_now(void);
/* Drops what was given back meanwhile. With the interpreter's lock, where arbitrary code may run. */
static inline void python_tidy(void) {
  if (atomic_load_explicit(&python_released, memory_order_relaxed)) python_tidy_now();
}

void python_values_forked(void);

#endif
